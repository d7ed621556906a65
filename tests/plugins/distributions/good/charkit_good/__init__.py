"""The smallest backend that works."""
