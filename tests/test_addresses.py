"""E-mail addresses as people type them."""

from __future__ import annotations

import time

import pytest

from fundraiser.addresses import LONGEST, read_address, read_url


@pytest.mark.parametrize(
    "typed",
    [
        "olena@example.org",
        "  Olena.Kovalenko+news@Example.ORG ",
        "o'brien@mail.example.co.uk",
        "олена@пошта.укр",
        "info@xn--80a1acny.xn--j1amh",
        f"{'a' * 64}@{'b' * 60}.example.org",
    ],
)
def test_an_address_is_read_as_it_was_typed(typed: str) -> None:
    assert read_address(typed) == typed.strip()


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "olena",
        "olena@",
        "@example.org",
        "olena@example",
        "olena@example..org",
        "olena@@example.org",
        "olena@exam ple.org",
        "olena@example.org\r\nBcc: all@example.org",
        "olena@example.org, ivan@example.org",
        "Olena <olena@example.org>",
        "olena\N{FULLWIDTH COMMERCIAL AT}example.org",
        "olena@[127.0.0.1]",
        "olena\0@example.org",
        f"a@{'b.' * 130}org",
    ],
)
def test_what_is_no_address_is_none(typed: str) -> None:
    assert read_address(typed) is None


@pytest.mark.parametrize("sent", ["//[", "http://[::1", "http://\u2100.example", "//[v1.]/", ""])
def test_a_url_that_can_not_be_split_has_no_parts(sent: str) -> None:
    assert not any(read_url(sent))
    assert read_url("https://example.org/a?b#c")[:3] == ("https", "example.org", "/a")


@pytest.mark.parametrize("middle", [".", "@", " ", "a", "xn--", "é", "\t", '"'])
def test_no_text_however_long_takes_long(middle: str) -> None:
    for length in (LONGEST - 3, 16_000, 1_000_000):
        typed = ("a@" + middle * length)[: length + 2] + "@"
        began = time.process_time()
        assert read_address(typed) is None
        assert time.process_time() - began < 0.1, (length, middle)
