"""Masks, overlay, audio, the run folder and the progress bar."""
