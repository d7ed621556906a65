"""The TensorFlow backend of charkit."""
