"""Tests of faults and misuse; README.md lists which test proves which claim."""
