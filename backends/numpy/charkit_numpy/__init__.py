"""The NumPy backend: the embedded default, and an engine that needs no framework."""
