"""Thousands of simulated studies, judged by the code that judges real ones, to count its false claims."""
