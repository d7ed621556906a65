"""Training on several workers: shards of a batch, the engines that run workers, and what goes between them."""
