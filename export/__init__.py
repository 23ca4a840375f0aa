"""PyTorch to ONNX, with the attention, correlation and warp operators as ONNX functions."""
