"""Backends with one thing wrong each: the NumPy engine, and a fault that a comparison has to find or outlive."""
