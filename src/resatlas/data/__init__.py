"""Data sets, one file each, and the order and augmentation of their images."""
