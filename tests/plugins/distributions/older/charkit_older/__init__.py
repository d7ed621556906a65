"""Speaks an older version of the contract."""
