"""The preprocessing specification in the metadata of ONNX files, and the resizing."""
