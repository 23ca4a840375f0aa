"""Comparison of two forms of one file."""
