"""How good a model is: baselines, the surprisal of each character, copied text, dynamic evaluation."""
