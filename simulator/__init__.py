"""A Stripe simulator for development and tests; the application never imports it.

It answers Stripe's API for one pinned version, shows Checkout and the billing portal as plain
pages, delivers signed webhooks, and keeps a clock that can be advanced. It holds no money and no
real card.
"""

API_VERSION = "2026-08-26.dahlia"
TEST_KEY = "sk_test_simulator"
COMMAND_LINE_ENDPOINT = "we_1CommandLine"
ACCOUNT = "acct_1Simulator"
