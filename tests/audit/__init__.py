"""Tests of resatlas.audit."""
