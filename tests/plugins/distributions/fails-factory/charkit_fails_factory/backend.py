"""Fails at import, as a framework does whose library is missing."""

raise OSError("libabacus.so.1: cannot open shared object file")
