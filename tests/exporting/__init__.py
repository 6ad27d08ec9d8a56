"""Tests of resatlas.exporting."""
