"""Names from model files made safe for C++, SystemVerilog, TCL and file systems."""

from __future__ import annotations

import re
from collections.abc import Container

__all__ = ["MAX_LENGTH", "identifier"]

MAX_LENGTH = 48


def identifier(name: str, taken: Container[str] = (), prefix: str = "n") -> str:
    """A safe identifier that a person still recognises.

    Parameters
    ----------
    name : str
        Any text, hostile or empty.
    taken : container of str
        Identifiers that must not be returned again.
    prefix : str
        Put in front where the text does not start with a letter.

    Returns
    -------
    str
        Lower-case letters, digits and single underscores, starting with a letter and ending
        in ``_<digits>``, which no keyword of C++, SystemVerilog or TCL does.
    """
    base = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    base = re.sub(r"_\d+$", "", base) or prefix
    if not base[0].isalpha():
        base = f"{prefix}_{base}"
    base = base[: MAX_LENGTH - 8].rstrip("_")
    number = 0
    while f"{base}_{number}" in taken:
        number += 1
    return f"{base}_{number}"
