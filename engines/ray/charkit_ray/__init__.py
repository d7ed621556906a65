"""Ray as an engine of charkit: workers are actors in a Ray cluster."""

import os

# Ray reads it when it is imported: a library that trains models sends no statistics about its users.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
