"""Works, but looks for a framework that is not its own."""
