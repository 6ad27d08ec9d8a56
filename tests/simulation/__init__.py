"""Planted studies by the thousand, judged by the code that judges real ones: how often its claims are false."""
