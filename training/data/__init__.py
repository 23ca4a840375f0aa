"""Training samples and what they are made of."""
