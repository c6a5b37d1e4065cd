"""Patreon and Ghost, simulated: where members pay beside Stripe. README.md says what of them."""
