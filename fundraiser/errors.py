"""Base classes of errors, with messages for the people who see them."""

from __future__ import annotations

from http import HTTPStatus


class FundraiserError(Exception):
    """A known problem: people see its message, and its status becomes the response's."""

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
    """Well-formed input that we can't use; ``field`` names the form's field, if any."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnavailableError(FundraiserError):
    """Something that we depend on doesn't answer; trying again later helps."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
