"""Tests of resatlas.comparing."""
