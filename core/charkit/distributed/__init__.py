"""Training on several workers: shards of a batch, the engines that run workers, and the messages between them."""
