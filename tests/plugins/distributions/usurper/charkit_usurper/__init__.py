"""Claims a name that is taken."""
