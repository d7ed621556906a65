"""Ray as an engine of charkit: workers are actors of a Ray cluster."""
