"""Tests of what a trained network gets right."""
