"""Optical flow: DIS, PWC-Net, precomputed files, and its coloring."""
