"""Weights of files and of other libraries, converted to the paths of resatlas and back."""
