"""Never comes back from the import of its plugin module."""
