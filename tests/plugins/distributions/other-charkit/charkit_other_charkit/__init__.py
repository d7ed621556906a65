"""Is made for a later charkit."""
