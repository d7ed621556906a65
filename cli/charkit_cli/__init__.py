"""The command line of charkit. One short module per command; nothing heavy at import."""
