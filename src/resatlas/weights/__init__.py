"""Conversion of weights between files, other libraries and the paths of resatlas."""
