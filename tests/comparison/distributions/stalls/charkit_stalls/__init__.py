"""Never comes back."""
