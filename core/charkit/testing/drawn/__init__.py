"""Networks of sizes and settings that are drawn at random, whose calls are compared with the oracle."""
