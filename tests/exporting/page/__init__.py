"""Tests of the page that classifies."""
