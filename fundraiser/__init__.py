"""The membership service of a reader-funded newsroom."""
