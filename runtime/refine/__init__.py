"""Refinement of a probability map."""
