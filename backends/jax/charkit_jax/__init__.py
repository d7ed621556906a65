"""The JAX backend of charkit."""
