"""TensorRT engines: loading, cards and checks."""
