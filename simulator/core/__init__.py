"""What the simulator's API and pages share."""

import sys

# jsonschema would load it to check IRIs, which Stripe's description never asks for: its grammars
# take each process a second.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
