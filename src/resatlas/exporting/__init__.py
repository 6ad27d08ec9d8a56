"""Saving and loading of trained networks, as a folder with config.json, model.safetensors and README.md.

A fourth file, normalisation.safetensors, is added if the normalisation of images has too many numbers for JSON.
"""
