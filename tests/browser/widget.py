"""Parts of the widget on another site's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def part(page: Page, name: str) -> Locator:
    return page.locator(f"membership-progress .{name}")


BOTH_SCHEMES = '<meta name="color-scheme" content="light dark">'
