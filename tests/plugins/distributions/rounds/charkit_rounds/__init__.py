"""Returns float32 where float64 was asked."""
