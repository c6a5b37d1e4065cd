"""Find folders of files beside the code, in an installed package or a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The path of ``templates`` or ``migrations``."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.with_name(name)
