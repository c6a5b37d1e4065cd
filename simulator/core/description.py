"""Check calls, answers and webhooks against Stripe's OpenAPI description.

Three corrections make the description strict enough: `nullable` beside `$ref` or `enum` becomes a
real null; hashes within a request are closed, since the description closes only the outermost; and
so are objects of answers, because an unknown field is our mistake. Needs `openapi-schema-validator`
and `referencing`, which only the tests install.
"""

import contextlib
import json
import os
import re
import threading
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from flask import Request, Response
from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from simulator import API_VERSION
from simulator.core.params import parse

ANSWERS = "urn:stripe:answers"
FORM = "application/x-www-form-urlencoded"
# Words about a schema rather than parts of it; without them the description is a third as large.
WORDS = {"description", "title", "example", "deprecated", "externalDocs"}
LONGEST = 300
REFUSED = 400


class Description:
    """One version of Stripe's API, for checking calls."""

    def __init__(self, file: Path) -> None:
        whole = json.loads(file.read_text(encoding="utf-8"))
        if whole["info"]["version"] != API_VERSION:
            raise ValueError(f"{file} describes {whole['info']['version']}, not {API_VERSION}.")
        self.paths: dict[str, Any] = whole["paths"]
        self.patterns: list[tuple[re.Pattern[str], str]] = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + r"\Z"), path)
            for path in sorted(self.paths, key=lambda path: path.count("{"))
        ]
        components = _corrected({"components": whole["components"]})
        resource = Resource.from_contents(components, default_specification=DRAFT202012)
        self.schemas: dict[str, Any] = components["components"]["schemas"]
        self.registry: Registry[Any] = Registry().with_resource(ANSWERS, resource)
        self.validator = cache(self._validator)
        self.operation = cache(self._operation)
        self.parameters = cache(self._parameters)

    def request(self, method: str, path: str, encoded: str) -> list[str]:
        """The errors in a call's parameters; `encoded` is its query and form."""
        known = self.operation(method, path)
        if known is None:
            return [f"Stripe has no {method} {path}."]
        schema = self.parameters(method, known)
        validator = OAS31Validator(schema, registry=self.registry)
        return _told(validator, coerced(schema, parse(encoded)))

    def answer(self, method: str, path: str, status: int, body: Any) -> list[str]:  # noqa: ANN401 - any JSON
        """The errors in a call's answer."""
        known = self.operation(method, path)
        if known is None and status == 200:  # noqa: PLR2004 - an answer to a call that Stripe has not
            return [f"Stripe has no {method} {path}."]
        if known is None:
            return _told(self.validator("error"), body)
        answers = self.paths[known][method.lower()]["responses"]
        schema = answers.get(str(status), answers["default"])["content"]["application/json"]
        return _told(self.validator(f"{method} {known} {status}", _Frozen(schema["schema"])), body)

    def event(self, body: Any) -> list[str]:  # noqa: ANN401 - any JSON
        """The errors in a webhook's body and its object."""
        wrong = _told(self.validator("event"), body)
        inner = body["data"]["object"]
        if body["type"] == "invoice.upcoming":
            # The description asks for an id, and Stripe says that an invoice to come has none.
            inner = {"id": "upcoming", **inner}
        wrong += _told(self.validator(inner["object"]), inner)
        known = self.schemas[inner["object"]]["properties"]
        previous = body["data"].get("previous_attributes", {})
        return wrong + [f"previous_attributes: {name}" for name in previous if name not in known]

    def _validator(self, name: str, schema: "_Frozen | None" = None) -> OAS31Validator:
        if schema is None:
            inner: Any = {"$ref": f"{ANSWERS}#/components/schemas/{name}"}
        else:
            inner = _rooted(_corrected(schema.inner))
        return OAS31Validator(inner, registry=self.registry)

    def _operation(self, method: str, path: str) -> str | None:
        for pattern, known in self.patterns:
            if pattern.match(path) and method.lower() in self.paths[known]:
                return known
        return None

    def _parameters(self, method: str, known: str) -> dict[str, Any]:
        operation = self.paths[known][method.lower()]
        properties, required = {}, []
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query":
                properties[parameter["name"]] = parameter["schema"]
                if parameter.get("required"):
                    required.append(parameter["name"])
        form = operation.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema", {})
        properties |= form.get("properties", {})
        required += form.get("required", [])
        schema = {"type": "object", "properties": properties, "required": required}
        closed: dict[str, Any] = _rooted(_corrected(schema))
        return closed


class _Frozen:
    """A hashable schema, as a cache key."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - any schema
        self.inner = inner
        self.text = json.dumps(inner, sort_keys=True)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.text == self.text


def _corrected(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """The schema with real nulls and closed objects, without descriptions."""
    if isinstance(schema, list):
        return [_corrected(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    new: dict[str, Any] = {}
    for name, inner in schema.items():
        if name in {"properties", "schemas"} and isinstance(inner, dict):
            new[name] = {key: _corrected(value) for key, value in inner.items()}
        elif name not in WORDS and not name.startswith("x-"):
            new[name] = _corrected(inner)
    if "properties" in new:
        new = {"additionalProperties": False, **new}
    if not new.pop("nullable", False):
        return new
    return {"anyOf": [new, {"type": "null"}]}


def _rooted(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """The schema with references into the whole description."""
    if isinstance(schema, list):
        return [_rooted(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: f"{ANSWERS}{inner}" if name == "$ref" and inner.startswith("#") else _rooted(inner)
        for name, inner in schema.items()
    }


def coerced(schema: dict[str, Any], given: Any) -> Any:  # noqa: ANN401 - any JSON
    """A form's strings converted to the schema's types where possible."""
    choices = schema.get("anyOf")
    if choices:
        fitting = [one for one in choices if _fits(one, given)]
        return coerced(fitting[0], given) if fitting else given
    kind = schema.get("type")
    if kind == "object" and isinstance(given, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        rest = others if isinstance(others, dict) else {}
        return {name: coerced(properties.get(name, rest), one) for name, one in given.items()}
    if kind == "array" and isinstance(given, dict):
        return [coerced(schema.get("items", {}), one) for one in given.values()]
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            if kind == "integer":
                return int(given)
            if kind == "number":
                return float(given)
        if kind == "boolean" and given in {"true", "false"}:
            return given == "true"
    return given


def _fits(schema: dict[str, Any], given: Any) -> bool:  # noqa: ANN401 - any JSON
    if "anyOf" in schema:
        return any(_fits(one, given) for one in schema["anyOf"])
    kind = schema.get("type")
    if isinstance(given, dict):
        numbered = all(name.isdigit() for name in given)
        return kind == "array" if numbered and given else kind == "object"
    if "enum" in schema:
        return bool(given in schema["enum"])
    if kind == "integer":
        return bool(given.lstrip("-").isdigit())
    return kind == "boolean" if given in {"true", "false"} else kind in {"string", "number"}


def _told(validator: OAS31Validator, body: Any) -> list[str]:  # noqa: ANN401 - any JSON
    told = []
    for error in validator.iter_errors(body):
        deepest = _deepest(error)
        place = "".join(f"[{part}]" for part in deepest.absolute_path)
        told.append(f"{place or 'it'}: {deepest.message[:LONGEST]}")
    return told


def _deepest(error: Any) -> Any:  # noqa: ANN401 - a validation error, of a library without types
    """The most specific error among several alternatives: the deepest one."""
    while error.context:
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    return error


class Recorder:
    """Checks everything that a simulator says; writes a line of each to a file."""

    numbers = count(1)

    def __init__(self, description: Path, reports: Path | None = None) -> None:
        self.description = Description(description)
        self.lock = threading.Lock()
        self.calls = 0
        self.events = 0
        self.violations: list[str] = []
        self.file: Path | None = None
        if reports:
            reports.mkdir(parents=True, exist_ok=True)
            self.file = reports / f"{os.getpid()}-{next(self.numbers)}.jsonl"

    def record(self, request: Request, response: Response) -> None:
        """Record one API call and its answer."""
        said = f"{request.query_string.decode()}&{request.get_data(as_text=True)}".strip("&")
        method, path, status = request.method, request.path, response.status_code
        # A wrong call that is refused needs no second voice; one that is taken fails at Stripe.
        heard = self.description.request(method, path, said) if status < REFUSED else []
        wrong = [f"{method} {path} {said}: {one}" for one in heard]
        body = json.loads(response.get_data())
        wrong += [
            f"the answer {status} to {method} {path}: {one}"
            for one in self.description.answer(method, path, status, body)
        ]
        response.headers[VALIDATED] = "yes"
        self._note("call", f"{method} {path} {status}", wrong)

    def record_event(self, body: Any) -> None:  # noqa: ANN401 - any JSON
        """Record one webhook's body."""
        wrong = [f"the event {body['type']}: {one}" for one in self.description.event(body)]
        self._note("event", str(body["type"]), wrong)

    def told(self) -> dict[str, Any]:
        with self.lock:
            return {
                "calls": self.calls,
                "events": self.events,
                "violations": list(self.violations),
            }

    def _note(self, kind: str, name: str, wrong: list[str]) -> None:
        with self.lock:
            self.calls += kind == "call"
            self.events += kind == "event"
            self.violations += wrong
            if self.file:
                line = json.dumps({"kind": kind, "name": name, "violations": wrong})
                with self.file.open("a", encoding="utf-8") as lines:
                    lines.write(f"{line}\n")


VALIDATED = "Simulator-Validated"
