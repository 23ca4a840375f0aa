"""Training data: sources of samples, augmentation, batches."""
