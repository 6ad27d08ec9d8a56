"""Tests of the data sets, their order and their augmentation."""
