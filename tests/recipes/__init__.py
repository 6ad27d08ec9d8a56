"""Tests of recipes and schedules."""
