"""The fault run: the real service under every fault at once, held against an oracle at the end."""
