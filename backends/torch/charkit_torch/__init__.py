"""The PyTorch backend of charkit."""
