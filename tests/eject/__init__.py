"""Tests of ejected files: one readable Python file from a plan."""
