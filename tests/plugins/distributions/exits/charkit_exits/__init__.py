"""Ends the process when its plugin module is imported."""
