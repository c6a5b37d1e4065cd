# ruff: noqa: INP001 - Python finds this file by its folder and its name
"""Runs first in each Python process of a run with a guard taken away; see ``chaos.controls``."""

import os
import sys

if "chaos" not in sys.modules and os.environ.get("CHAOS_WITHOUT"):
    from chaos.controls import switch_off

    switch_off(os.environ["CHAOS_WITHOUT"])
