"""CUDA memory, streams and graphs."""
