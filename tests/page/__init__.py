"""Tests of resatlas.page."""
