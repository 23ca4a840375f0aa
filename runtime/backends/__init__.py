"""Inference libraries behind one protocol."""
