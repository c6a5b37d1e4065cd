"""Where the files beside the code are: in the installed package, or next to it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder ``templates`` or ``migrations``."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.with_name(name)
