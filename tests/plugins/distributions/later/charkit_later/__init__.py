"""Speaks a later version of the contract."""
