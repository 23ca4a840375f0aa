"""Frames of clips as network inputs, for calibration, range probes and comparisons."""
