"""A campaign's picture: read what staff upload, and keep it as a JPEG of moderate size."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from fundraiser.campaigns.models import CampaignPicture
from fundraiser.errors import UnprocessableError
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_FORMATS = ("JPEG", "PNG", "WEBP")
_WIDEST = 1600  # pixels, either side: twice the width at which pages show it
_SMALLEST = 400
_MOST_PIXELS = 50_000_000  # a small file can unpack to gigabytes


def find_picture(session: Session, slug: str) -> CampaignPicture | None:
    """A campaign's picture, without its bytes until they are asked for."""
    return session.get(CampaignPicture, slug)


def set_picture(session: Session, slug: str, sent: bytes) -> None:
    """Keep an uploaded picture in place of the earlier one.

    Where it was taken, and whatever else the camera wrote into it, is left out.

    Raises:
        UnprocessableError: it is no picture that we can read, or too small or too large.
    """
    picture = _read(sent)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=82, optimize=True, progressive=True)
    drop_picture(session, slug)
    session.add(
        CampaignPicture(
            campaign_slug=slug,
            name=hashlib.sha256(content.getvalue()).hexdigest()[:16],
            content=content.getvalue(),
            width=picture.width,
            height=picture.height,
        )
    )
    session.flush()


def drop_picture(session: Session, slug: str) -> None:
    """Remove a campaign's picture, if it has one."""
    if found := find_picture(session, slug):
        session.delete(found)
        session.flush()


def _read(sent: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(sent), formats=_FORMATS) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise UnprocessableError(
                    _("This picture has too many pixels. Save it smaller."), field="picture"
                )
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UnprocessableError(
            _("We can’t read this file. Choose a picture as JPEG, PNG or WebP."), field="picture"
        ) from error
    if min(picture.size) < _SMALLEST:
        raise UnprocessableError(
            _(
                "This picture is too small. Choose one with at least %(least)s pixels on each "
                "side.",
                least=_SMALLEST,
            ),
            field="picture",
        )
    picture.thumbnail((_WIDEST, _WIDEST))
    return picture
