"""Does not clip."""
