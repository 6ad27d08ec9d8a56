"""Runs on disk, in JSON and text files."""
