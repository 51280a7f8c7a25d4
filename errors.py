"""Errors that a user can act on: one line that names the thing and the remedy."""

from __future__ import annotations

__all__ = ["BitexpertError"]


class BitexpertError(ValueError):
    """Base of every error that bitexpert raises on purpose.

    The command line prints the message as one line and exits with ``exit_code``.
    """

    exit_code = 2
