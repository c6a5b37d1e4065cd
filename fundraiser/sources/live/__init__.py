"""Connected services that we fetch members from: Patreon's API and webhooks, Ghost's Admin API.

A listing becomes an imported file like any other: read, planned, applied, and undone as a whole.
"""
