"""The checks, one module per stage or two. Importing a module registers its checks."""
