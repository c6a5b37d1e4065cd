"""Routes for other sites: script, appearance, pictures, iframe, oEmbed."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from flask import Blueprint, Response, jsonify, render_template, request
from flask_babel import force_locale, format_decimal
from markupsafe import Markup

from fundraiser import db
from fundraiser.addresses import read_url
from fundraiser.campaigns.progress import find_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.errors import BadRequestError, NotFoundError
from fundraiser.headers import FRESH, MINUTES
from fundraiser.payments.checkout import offered_tiers
from fundraiser.security import public
from fundraiser.texts import DEFAULT_LANGUAGE, by_language, known_language, language
from fundraiser.widget.appearance import describe, of_the_goal, spoken, words
from fundraiser.widget.heights import frame_height, frame_style, variant_for
from fundraiser.widget.picture import SHAPES, draw, paint
from fundraiser.widget.script import FOLDER, current_script, pinned_scripts

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("widget", __name__)


@blueprint.get("/widget.js")
@public
def script() -> ResponseReturnValue:
    return _conditional(Response(current_script().body, mimetype="text/javascript"))


@blueprint.get("/widget-<name>.js")
@public
def pinned_script(name: str) -> ResponseReturnValue:
    """A published script by its hash."""
    script = pinned_scripts().get(name)
    if script is None:
        raise NotFoundError("No script was published under this name.")
    return _conditional(Response(script.body, mimetype="text/javascript"))


@blueprint.get("/campaigns/<slug>/appearance")
@public
def appearance(slug: str) -> ResponseReturnValue:
    """Texts, tiers and colours; cached for long if requested with its revision."""
    found = find_campaign(db.session(), slug)
    described = describe(
        found,
        offered_tiers(db.session(), found.tiers),
        tag=request.args.get("lang", DEFAULT_LANGUAGE),
        public_url=current_settings().public_url,
    )
    is_named = request.args.get("revision") == str(found.revision)
    body = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    response = _conditional(Response(body, mimetype="application/json"))
    response.headers["Cache-Control"] = MINUTES if is_named else FRESH
    return response


@blueprint.get("/campaigns/<slug>/progress.svg", defaults={"kind": "svg"})
@blueprint.get("/campaigns/<slug>/progress.png", defaults={"kind": "png"})
@public
def picture(slug: str, kind: str) -> ResponseReturnValue:
    """The progress as a picture: SVG strip or PNG card by default; ``shape`` selects the other."""
    shape = SHAPES.get(request.args.get("shape", "strip" if kind == "svg" else "card"))
    if shape is None:
        raise BadRequestError(f"The shape of a picture is one of: {', '.join(SHAPES)}.")
    found = find_campaign(db.session(), slug)
    language, _ = spoken(request.args.get("lang", DEFAULT_LANGUAGE))
    svg = draw(found, read_progress(db.session(), found), language=language, shape=shape)
    if kind == "svg":
        return _conditional(Response(svg, mimetype="image/svg+xml"))
    return _conditional(Response(paint(svg), mimetype="image/png"))


@blueprint.get("/campaigns/<slug>/embed")
@public
def embed(slug: str) -> ResponseReturnValue:
    """The widget as a page for iframes; names our origin, because a sandbox's is opaque."""
    found = find_campaign(db.session(), slug)
    language, _ = spoken(request.args.get("lang", DEFAULT_LANGUAGE))
    url = current_settings().public_url
    wanted = ("variant", "theme", "accent", "tier", "interval", "currency", "lang")
    progress = read_progress(db.session(), found)
    with force_locale(language):
        page = render_template(
            "widget/embed.html",
            campaign=slug,
            attributes={name: request.args[name] for name in wanted if name in request.args},
            canonical=f"{url}/campaigns/{slug}",
            headline=by_language(found.headlines),
            members=format_decimal(progress.members),
            of_goal=of_the_goal(found, format_decimal(progress.goal)),
            join=words(found)["join"],
        )
    return _conditional(Response(page))


@blueprint.get("/<any('embed.css', 'embed.js'):name>")
@public
def embed_part(name: str) -> ResponseReturnValue:
    """The style sheet or script of the iframe's page."""
    kind = "text/css" if name.endswith("css") else "text/javascript"
    return _conditional(Response((FOLDER / name).read_bytes(), mimetype=kind))


@blueprint.get("/oembed")
@public
def oembed() -> ResponseReturnValue:
    """The oEmbed provider (https://oembed.com, 1.0) of campaign pages, in their language."""
    if request.args.get("format", "json") != "json":
        return Response("Ask for format=json.", HTTPStatus.NOT_IMPLEMENTED, mimetype="text/plain")
    settings = current_settings()
    address = read_url(request.args.get("url", ""))
    room, _, slug = address.path.strip("/").partition("/")
    if f"{address.scheme}://{address.netloc}" != settings.public_url or room != "campaigns":
        raise NotFoundError("This is not the address of one of our campaigns.")
    found = find_campaign(db.session(), slug)
    asked = parse_qs(address.query).get("lang", [""])[0]
    lang = known_language(asked or language())
    with force_locale(lang):
        title = by_language(found.headlines)
    width = min(max(request.args.get("maxwidth", 600, type=int), 1), 600)
    most = max(request.args.get("maxheight", 1000, type=int), 1)
    variant = variant_for(width, most)
    height = min(frame_height(variant, width), most)
    page = f"{settings.public_url}/campaigns/{found.slug}"
    frame = Markup(
        '<iframe src="{}/embed?{}" width="{}" height="{}" style="{}" title="{}" frameborder="0" '
        'sandbox="allow-scripts allow-top-navigation-by-user-activation"></iframe>'
    )
    # On a phone the frame is narrower than the site asked for, and has to be taller.
    style = f"max-width: 100%; {frame_style(variant, width)}; max-height: {most}px"
    query = urlencode({"lang": lang} | ({} if variant == "card" else {"variant": variant}))
    return _conditional(
        jsonify(
            version="1.0",
            type="rich",
            title=title,
            provider_name=settings.newsroom_name,
            provider_url=settings.newsroom_url or settings.public_url,
            cache_age=3600,
            width=width,
            height=height,
            html=frame.format(page, query, width, height, style, title),
            thumbnail_url=f"{page}/progress.png?lang={lang}",
            thumbnail_width=SHAPES["card"].width,
            thumbnail_height=SHAPES["card"].height,
        )
    )


def _conditional(response: Response) -> Response:
    """Answer 304 to a cache that has the current version."""
    response.add_etag()
    response.make_conditional(request)
    return response
