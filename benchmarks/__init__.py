"""Accuracy (J and F), latency, fidelity, and their reports."""
