"""Uses what this charkit lacks."""

from charkit.hookspecs import something_new

something_new()
