"""TensorRT engines from ONNX files, with a card that describes each engine."""
