"""What can go wrong, as sentences that the person who meets them can act on."""

from __future__ import annotations

from http import HTTPStatus


class FundraiserError(Exception):
    """A named problem: its message is shown to the person, its status goes into the answer."""

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def sentence(self) -> str:
        """The message, with its name if it has one (``texts.Named``)."""
        message = self.args[0] if self.args else ""
        return message if isinstance(message, str) else str(self)


class NotFoundError(FundraiserError):
    status = HTTPStatus.NOT_FOUND


class BadRequestError(FundraiserError):
    status = HTTPStatus.BAD_REQUEST


class ForbiddenError(FundraiserError):
    status = HTTPStatus.FORBIDDEN


class UnprocessableError(FundraiserError):
    """The input was understood and can't be used; ``field`` names the form's field, if one."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnavailableError(FundraiserError):
    """Something that we depend on does not answer: trying again later is the right thing."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
