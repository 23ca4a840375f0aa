"""FP16 conversion of ONNX files and its rules."""
