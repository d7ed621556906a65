"""Is killed when its plugin module is imported, as by a system without memory."""
