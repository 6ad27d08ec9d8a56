"""Trained networks that travel: a folder with config.json, model.safetensors and README.md, and back again.

A fourth file, normalisation.safetensors, is there where images are normalised by more numbers than JSON should hold.
"""
