"""Measurement of ONNX files and comparison of two forms of one file."""
