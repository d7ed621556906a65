"""Works, but another distribution claims its name."""
