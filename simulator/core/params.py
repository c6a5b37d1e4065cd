"""Stripe's bracketed form parameters: `line_items[0][price]=…`, checked against what a call takes.

A call's shape is written with plain Python: `str`, `int`, `bool`, a tuple of the values allowed,
`[shape]` for a list, a dict for a hash (a name ending in `!` is required), and the marks below.
"""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from simulator.core.errors import StripeError, refused

Shape: TypeAlias = Any


@dataclass(frozen=True)
class Clearable:
    """May be unset with an empty string, which comes out as None."""

    inner: Shape


@dataclass(frozen=True)
class Either:
    """A whole number, or one of some words."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Each:
    """A hash with keys of the caller's own, such as currencies, and values of one shape."""

    inner: Shape


METADATA = object()
RANGE = object()
MOST_METADATA = 50
KEY = re.compile(r"[^\[\]]+|\[\]")
TIMES = {"gt": int, "gte": int, "lt": int, "lte": int}


def parse(encoded: str) -> dict[str, Any]:
    """The nested dict that the encoded pairs say; lists are still dicts with numbers as keys."""
    whole: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        parts = KEY.findall(name)
        at = whole
        for here in parts[:-1]:
            at = at.setdefault(_index(here, at), {})
            if not isinstance(at, dict):
                raise refused(f"Invalid parameter: {name}", param=name)
        if parts:
            at[_index(parts[-1], at)] = value
    return whole


def _index(part: str, at: dict[str, Any]) -> str:
    return str(len(at)) if part == "[]" else part


def check(shape: Shape, given: Any, path: str = "") -> Any:  # noqa: ANN401 - whatever was sent
    """The parameters with their types, or Stripe's refusal of them."""
    if isinstance(shape, Clearable):
        return None if given == "" else check(shape.inner, given, path)
    if isinstance(shape, Each | Either):
        return _of_mark(shape, given, path)
    if shape is METADATA:
        return _metadata(given, path)
    if shape is RANGE:
        return check(TIMES if isinstance(given, dict) else int, given, path)
    if isinstance(shape, dict):
        return _hash(shape, given, path)
    if isinstance(shape, list):
        if given == "":
            return []
        if not isinstance(given, dict) or not all(key.isdigit() for key in given):
            raise refused("Invalid array", param=path)
        ordered = sorted(given.items(), key=lambda pair: int(pair[0]))
        return [check(shape[0], value, f"{path}[{key}]") for key, value in ordered]
    if isinstance(given, dict):
        raise refused(f"Invalid string: {given}", param=path)
    return _scalar(shape, given, path)


def _of_mark(shape: Each | Either, given: Any, path: str) -> Any:  # noqa: ANN401 - as `check`
    if isinstance(shape, Either):
        return given if given in shape.words else check(int, given, path)
    if not isinstance(given, dict):
        raise refused("Invalid object", param=path)
    return {key: check(shape.inner, one, _under(path, key)) for key, one in given.items()}


def _hash(shape: dict[str, Shape], given: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(given, dict):
        raise refused("Invalid object", param=path)
    names = {name.removesuffix("!"): inner for name, inner in shape.items()}
    for name in given:
        if name not in names:
            full = _under(path, name)
            raise refused(
                f"Received unknown parameter: {full}", param=full, code="parameter_unknown"
            )
    for name in shape:
        if name.endswith("!") and given.get(name[:-1], "") == "":
            full = _under(path, name[:-1])
            raise refused(f"Missing required param: {full}.", param=full, code="parameter_missing")
    return {name: check(names[name], value, _under(path, name)) for name, value in given.items()}


def _metadata(given: Any, path: str) -> dict[str, str]:  # noqa: ANN401
    if given == "":
        return {}
    if not isinstance(given, dict) or any(isinstance(value, dict) for value in given.values()):
        raise refused("Metadata should be a hash of strings to strings.", param=path)
    if len(given) > MOST_METADATA:
        raise refused("Metadata can have up to 50 keys.", param=path)
    for key, value in given.items():
        if len(key) > 40 or len(value) > 500:  # noqa: PLR2004 - Stripe's own limits
            raise refused(
                "Metadata keys can have up to 40 characters and values up to 500.",
                param=_under(path, key),
            )
    return given


def _scalar(shape: Shape, given: str, path: str) -> Any:  # noqa: ANN401 - what the shape says
    if shape is int:
        if not re.fullmatch(r"-?\d{1,15}", given):
            raise refused(f"Invalid integer: {given}", param=path, code="parameter_invalid_integer")
        return int(given)
    if shape is float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", given):
            raise refused(f"Invalid decimal: {given}", param=path)
        return float(given)
    if shape is bool:
        if given not in {"true", "false"}:
            raise refused(f"Invalid boolean: {given}", param=path)
        return given == "true"
    if isinstance(shape, tuple) and given not in shape:
        raise refused(f"Invalid {path}: must be one of {', '.join(shape)}", param=path)
    if given == "":
        raise StripeError(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to"
            " unset a parameter; however this parameter cannot be unset.",
            param=path,
            code="parameter_invalid_empty",
        )
    return given


def _under(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def merged(before: dict[str, str], new: dict[str, str] | None) -> dict[str, str]:
    """Metadata after an update: new keys are added, an empty value takes a key away."""
    if new is None:
        return before
    if not new:
        return {}
    return {key: value for key, value in {**before, **new}.items() if value}
