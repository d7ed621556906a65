"""The guide's complete backend as it was under contract 1.0; frozen, since such plugins must go on working."""
