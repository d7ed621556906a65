"""Takes 30 s to import, or what SLOW_SECONDS says."""
