"""Typed ONNX to TensorRT engines: precision decided in the file, and the card that says what an engine is."""
