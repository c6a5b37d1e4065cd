"""A field is declared once: its inputs, its sentences and what is read follow from that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from werkzeug.datastructures import MultiDict

from fundraiser.campaigns import catalogue
from fundraiser.campaigns.forms import TierPlan
from fundraiser.dashboard.campaigns import tier_views
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Field, Form, Translated, values_of
from fundraiser.payments.models import Tier
from tests.factories import make_tiers
from tests.management import (
    fields,
    post,
    staff_browser,  # noqa: F401 - a fixture
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database


def read_figure(text: str) -> int:
    if not text.isdecimal():
        raise UnprocessableError("Enter a figure.")
    return int(text)


@dataclass(frozen=True)
class Example:
    titles: Annotated[dict[str, str], Translated(label="Title", limit=5, required="Enter it.")]
    figure: Annotated[int, Field(label="Figure", read=read_figure)]
    days: Annotated[
        list[str], Field(label="Days", kind="checkboxes", read=str.split, write=" ".join)
    ]


@pytest.fixture(autouse=True)
def _context(app: FundraiserApp) -> Iterator[None]:
    with app.test_request_context("/"):
        yield


def sent(**typed: Any) -> Form:
    texts = {name.replace("_", "-"): value for name, value in typed.items()}
    return Form.sent(MultiDict(texts), Example)


def test_what_was_typed_is_read_into_the_declared_dataclass() -> None:
    form = sent(titles_en=" Art\r\n", titles_uk="", figure="7", days=["mon", "fri"])
    assert form.read(Example) == Example(titles={"en": "Art"}, figure=7, days=["fri", "mon"])


def test_each_input_that_can_not_be_read_has_a_sentence_and_keeps_its_text() -> None:
    form = sent(titles_uk="завеликий", figure="seven")
    assert form.read(Example) is None
    errors = dict(form.errors)
    too_long = errors.pop("titles-uk")
    assert errors == {"titles-en": "Enter it.", "figure": "Enter a figure."}
    assert re.findall(r"\d+", too_long) == ["5", "9"]
    assert form.typed["figure"] == "seven"


def test_what_is_not_asked_for_or_not_touched_stays_as_it_is_stored() -> None:
    stored = Example(titles={"en": "longer than may be"}, figure=3, days=["mon"])
    form = Form.of(stored)
    assert form.read(Example, stored) == stored
    fewer = Form.sent(MultiDict({"figure": "4"}), Example, only={"figure"})
    assert fewer.read(Example, stored) == Example(stored.titles, 4, stored.days)


def test_a_changed_input_is_named_and_a_refusal_stands_beside_its_field() -> None:
    stored = Example(titles={"en": "Art"}, figure=3, days=["mon"])
    form = sent(titles_en="Art", titles_uk="Мист", figure="3", days=["mon"])
    assert form.changed(stored) == ["titles-uk"]
    form.refuse(UnprocessableError("Taken.", field="titles"), "figure")
    form.refuse(UnprocessableError("Not so.", field="elsewhere"), "figure")
    assert form.errors == {"titles-en": "Taken.", "figure": "Not so."}


def test_an_attribute_of_a_membership_is_one_declaration(
    staff: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that no form asks for today: declared, it is asked for, kept and compared."""

    @dataclass(frozen=True)
    class Wider(TierPlan):
        product_id: Annotated[str, Field(label="Product", part="words", limit=20)]

    Wider.__module__ = TierPlan.__module__
    for module in (catalogue, tier_views):
        monkeypatch.setattr(module, "TierPlan", Wider)
    with database.transaction() as session:
        make_tiers(session)
        session.get_one(Tier, "member").product_id = "prod_1"
    form = fields(staff, "/staff/tiers/member")
    assert form["product_id"] == "prod_1"
    assert post(staff, "/staff/tiers/member", **form).status_code == 303
    answer = post(staff, "/staff/tiers/member", **form | {"product_id": "p" * 21})
    assert answer.status_code == 422
    assert 'id="product_id-error"' in answer.text
    assert post(staff, "/staff/tiers/member", **form | {"product_id": "prod_2"}).status_code == 303
    with database.transaction() as session:
        tier = session.get_one(Tier, "member")
        assert tier.product_id == "prod_2"
        assert values_of(tier, Wider, but="prices")["product_id"] == "prod_2"
    assert post(staff, "/staff/tiers/member", **form | {"product_id": "prod_3"}).status_code == 409
