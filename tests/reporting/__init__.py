"""Tests of resatlas.reporting."""
