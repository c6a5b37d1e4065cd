"""The Northern Ledger: a made-up newspaper on an origin of its own, which carries the widget."""
