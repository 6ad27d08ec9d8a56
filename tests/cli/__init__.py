"""Tests of the command line: what it prints, how fast, and its exit codes."""
