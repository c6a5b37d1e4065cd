"""``python -m fundraiser``: the command line, if the package isn't installed."""

from fundraiser.cli import main

main(prog_name="fundraiser")
