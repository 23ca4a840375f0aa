"""The networks in PyTorch, and the reading and checking of their checkpoints."""
