"""``python -m fundraiser``: the operator's commands where the package isn't installed."""

from fundraiser.cli import main

main(prog_name="fundraiser")
