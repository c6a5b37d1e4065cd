"""Labels for what staff can stop, and for what is stopped."""

from __future__ import annotations

from fundraiser.newsroom.maintenance import Stopped
from fundraiser.texts import gettext as _


def name(what: Stopped) -> str:
    """What can be stopped."""
    return {
        Stopped.EMAILS: _("All e-mails"),
        Stopped.SIGN_UPS: _("Joining and giving"),
        Stopped.NUMBER: _("The number"),
    }[what]


def effect(what: Stopped) -> str:
    """What stopping it does."""
    return {
        Stopped.EMAILS: _("Stops every e-mail, sign-in codes included. Due e-mails wait."),
        Stopped.SIGN_UPS: _(
            "Stops joining, giving and contributing. Members can still use their account."
        ),
        Stopped.NUMBER: _("Tells readers on our pages that we’re checking the number."),
    }[what]


def banner(what: Stopped) -> str:
    """The banner on staff pages while it is stopped."""
    return {
        Stopped.EMAILS: _("E-mails are stopped."),
        Stopped.SIGN_UPS: _("Joining and giving are closed."),
        Stopped.NUMBER: _("Our pages say that we’re checking the number."),
        Stopped.RESTORE: _("Background work waits until the restored backup is checked."),
    }[what]


def stop(what: Stopped) -> str:
    """The button that stops it."""
    return {
        Stopped.EMAILS: _("Stop all e-mails"),
        Stopped.SIGN_UPS: _("Close joining and giving"),
        Stopped.NUMBER: _("Say that we’re checking it"),
    }[what]


def resume(what: Stopped) -> str:
    """The button that resumes it."""
    return {
        Stopped.EMAILS: _("Send e-mails again"),
        Stopped.SIGN_UPS: _("Open joining and giving"),
        Stopped.NUMBER: _("The number is right"),
    }[what]
