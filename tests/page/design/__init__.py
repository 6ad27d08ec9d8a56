"""The design page."""
