"""Sources that are asked rather than uploaded: Patreon's API with its webhooks, Ghost's Admin API.

What one lists becomes a file like any other: read, planned, applied, and undone as a whole.
"""
