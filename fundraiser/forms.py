"""Staff forms declared as dataclasses: inputs, parsing and errors come from annotations.

Each annotation says how to ask for the field's value::

    @dataclass(frozen=True)
    class TierPlan:
        names: Annotated[dict[str, str], Translated(label=N_("Name"), limit=40)]

    form = Form.sent(request.form, TierPlan)
    plan = form.read(TierPlan)  # None, with a sentence in ``form.errors``, where it can't be read

``templates/dashboard/fields.html`` renders the inputs. Forms keep the text of every input as it was
sent, so nothing typed is lost.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints

from fundraiser.addresses import read_address, to_ascii
from fundraiser.errors import UnprocessableError
from fundraiser.texts import DEFAULT_LANGUAGE, LANGUAGES, Named, gettext as _, name_of_language

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from werkzeug.datastructures import MultiDict

Kind = Literal["text", "area", "select", "radios", "checkbox", "checkboxes", "hidden"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """How to ask for one value. Its texts are messages for the catalogue, marked with ``N_``.

    ``hint`` may be a function if it needs values. ``limit`` is in characters, ``required`` is the
    message for an empty input, ``part`` the section of the page. ``read`` parses the text and
    raises ``UnprocessableError`` with a message; ``write`` formats a value; ``say`` formats the
    text if the field is fixed.
    """

    label: str
    hint: str | Callable[[], str] = ""
    kind: Kind = "text"
    type: str = "text"
    mode: str = ""
    rows: int = 3
    limit: int | None = None
    required: str = ""
    part: str = ""
    options: Callable[[], Iterable[tuple[str, str]]] | None = None
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    say: Callable[[str], str] = str

    def inputs(self, name: str) -> list[Input]:
        """The inputs of this field, which is called ``name``."""
        return [self.input(name, _(self.label))]

    def input(self, name: str, label: str, lang: str = "") -> Input:
        """One input, with its hint in the current language."""
        hint = self.hint() if callable(self.hint) else self.hint and _(self.hint)
        return Input(name, label, self, hint, lang)

    def texts(self, name: str, value: Any) -> dict[str, str]:  # noqa: ANN401 - a field's own type
        """The text of each input for this value."""
        return {name: self.write(value)}

    def value(self, name: str, typed: Mapping[str, str], errors: dict[str, str]) -> object:
        """Parse the inputs' texts; adds a message to errors for each invalid one."""
        text = typed[name]
        if self.limit is not None and len(text) > self.limit:
            errors[name] = _(
                "Enter %(most)s characters or fewer; you have %(count)s.",
                most=self.limit,
                count=len(text),
            )
        elif not text and self.required:
            errors[name] = _(self.required)
        else:
            try:
                return self.read(text)
            except UnprocessableError as error:
                errors[name] = error.sentence
        return None


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a form; ``lang`` is the language people write in it, if known."""

    name: str
    label: str
    field: Field
    hint: str = ""
    lang: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated(Field):
    """A text by language: one input for each; only the default language is required."""

    def inputs(self, name: str) -> list[Input]:
        return [
            self.input(
                f"{name}-{code}",
                _("%(field)s (%(language)s)", field=_(self.label), language=name_of_language(code)),
                code,
            )
            for code in LANGUAGES
        ]

    def texts(self, name: str, value: Any) -> dict[str, str]:  # noqa: ANN401 - by language
        return {f"{name}-{code}": value.get(code, "") for code in LANGUAGES}

    def value(self, name: str, typed: Mapping[str, str], errors: dict[str, str]) -> object:
        one = dataclasses.replace(self, required="")
        said = {
            code: Field.value(
                self if code == DEFAULT_LANGUAGE else one, f"{name}-{code}", typed, errors
            )
            for code in LANGUAGES
        }
        return {code: text for code, text in said.items() if text}


@cache
def fields_of(about: type) -> Mapping[str, Field]:
    """The declared fields of a dataclass, by name."""
    names = vars(sys.modules[about.__module__])  # also those that a reader uses
    hints = get_type_hints(about, names, include_extras=True)
    return {
        name: found
        for name in (each.name for each in dataclasses.fields(about))
        for found in getattr(hints[name], "__metadata__", ())
        if isinstance(found, Field)
    }


def values_of(stored: object, about: type, *, but: str = "") -> dict[str, Any]:
    """The stored value of each declared field, except ``but``."""
    return {name: getattr(stored, name) for name in fields_of(about) if name != but}


@dataclass(slots=True)
class Form:
    """A page's inputs, in order, and their texts.

    ``typed`` and ``errors`` are by input. ``seen`` identifies the state that the page showed.

    ``options`` are choices that only the page knows; ``fixed`` are fields that can't change now.
    ``conflict`` says who saved first, and ``theirs`` the stored values where they differ.
    """

    fields: dict[str, Field]
    typed: dict[str, str] = field(default_factory=dict)
    seen: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    options: dict[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    fixed: Collection[str] = ()
    conflict: str = ""
    theirs: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Input] = field(init=False)

    def __post_init__(self) -> None:
        self.inputs = {
            found.name: found
            for name, declared in self.fields.items()
            for found in declared.inputs(name)
        }

    @classmethod
    def blank(cls, *about: type, **values: object) -> Form:
        """An empty form with these initial values."""
        form = cls(_all_fields(about))
        form.typed = dict.fromkeys(form.inputs, "")
        for name, value in values.items():
            form.typed |= form.fields[name].texts(name, value)
        return form

    @classmethod
    def of(cls, stored: object, *, only: Collection[str] = ()) -> Form:
        """A form of stored values, with all fields or some."""
        form = cls(_all_fields([type(stored)], only))
        form.typed = form.texts_of(stored)
        form.seen = fingerprint(form.typed)
        return form

    @classmethod
    def sent(cls, values: MultiDict[str, str], *about: type, only: Collection[str] = ()) -> Form:
        """A form as submitted, with all fields or some; normalises line ends."""
        form = cls(_all_fields(about, only), seen=values.get("seen", ""))
        form.typed = {
            name: " ".join(sorted(values.getlist(name)))
            if found.field.kind == "checkboxes"
            else values.get(name, "").replace("\r\n", "\n").strip()
            for name, found in form.inputs.items()
        }
        return form

    def part(self, name: str) -> list[Input]:
        """The inputs of one section of the page."""
        return [found for found in self.inputs.values() if found.field.part == name]

    def choices(self, name: str) -> Sequence[tuple[str, str]]:
        """The options of an input."""
        if name in self.options:
            return self.options[name]
        options = self.inputs[name].field.options
        return [(value, _(text)) for value, text in options()] if options else ()

    def say(self, name: str, text: str) -> str:
        """Format an input's text for reading: the label of a choice, a day as a date."""
        found = self.inputs[name].field
        words = dict(self.choices(name))
        if found.kind == "checkboxes":
            return ", ".join(words.get(value, value) for value in text.split())
        return words.get(text) or found.say(text)

    def read(self, about: type[T], stored: T | None = None) -> T | None:
        """Parse the form; None, with a message for each invalid input.

        Values that the form doesn't contain, or that nobody changed, come from ``stored``.
        """
        before = len(self.errors)
        values = {}
        for field_ in dataclasses.fields(about):  # type: ignore[arg-type]  # a dataclass
            name, declared = field_.name, self.fields.get(field_.name)
            if stored is not None and (
                declared is None
                or declared.texts(name, getattr(stored, name)).items() <= self.typed.items()
            ):
                values[name] = getattr(stored, name)
            elif declared is not None:
                values[name] = declared.value(name, self.typed, self.errors)
        return about(**values) if len(self.errors) == before else None

    def refuse(self, error: UnprocessableError, otherwise: str) -> None:
        """Show an error beside its field, or at ``otherwise`` if it names none."""
        name = error.field or otherwise
        if name in self.fields:
            name = self.fields[name].inputs(name)[0].name
        self.errors[name if name in self.inputs else otherwise] = error.sentence

    def texts_of(self, stored: object) -> dict[str, str]:
        """The text of each input for the stored values."""
        return {
            name: text
            for called, declared in self.fields.items()
            for name, text in declared.texts(called, getattr(stored, called)).items()
        }

    def changed(self, stored: object) -> list[str]:
        """The inputs whose text differs from the stored value."""
        return [*self.changes(stored)]

    def changes(self, stored: object) -> dict[str, tuple[str, str]]:
        """The stored and the new text of each input that differs."""
        return {
            name: (text, self.typed[name])
            for name, text in self.texts_of(stored).items()
            if self.typed[name] != text
        }


def fingerprint(texts: dict[str, str]) -> str:
    """A short hash of a state, to detect changes."""
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:20]


def _all_fields(about: Iterable[type], only: Collection[str] = ()) -> dict[str, Field]:
    return {
        name: found
        for each in about
        for name, found in fields_of(each).items()
        if not only or name in only
    }


def read_email(typed: str) -> str:
    """Parse an e-mail address to which somebody will be e-mailed.

    Raises:
        UnprocessableError: it is invalid, or no mail server can be relied on to accept it.
    """
    address = read_address(typed)
    if address is None:
        raise UnprocessableError(
            Named("no-address", _("Enter an e-mail address, like name@example.org.")), field="email"
        )
    if to_ascii(address) is None:
        sentence = _(
            "We can’t send e-mail to an address with characters like ü or я before the @. Enter "
            "another address."
        )
        raise UnprocessableError(Named("address-not-ascii", sentence), field="email")
    return address
