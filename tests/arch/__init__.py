"""Tests of the vocabulary: what it says, what it costs, what it refuses."""
