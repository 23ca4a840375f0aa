"""Atomic writing, ONNX files and their metadata, the bundled network."""
