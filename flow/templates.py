"""Rendering of templates/: StrictUndefined, no arithmetic in templates, each file written whole or not at all."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import jinja2

from ..errors import BitexpertError
from ..models.files import write_atomically

__all__ = ["render", "write_text"]

FOLDER = Path(__file__).parents[1] / "templates"

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)


def render(template: str, context: Any) -> str:
    """Render ``templates/<template>`` with the fields of a context dataclass.

    Parameters
    ----------
    template : str
        Path below templates/, e.g. ``rtl/accelerator.sv.j2``.
    context : dataclass instance
        Its texts stand in comments and strings of the rendered file, so none may hold a line break or
        another control character.

    Raises
    ------
    TypeError
        The context is no dataclass instance.
    BitexpertError
        A text with a control character.
    jinja2.UndefinedError
        The template names something that the context lacks.
    """
    if not is_dataclass(context) or isinstance(context, type):
        raise TypeError(f"a template takes a dataclass, not {type(context).__name__}")
    values = {f.name: getattr(context, f.name) for f in fields(context)}
    for name, value in values.items():
        if isinstance(value, str) and not value.isprintable():
            raise BitexpertError(f"{name} of {type(context).__name__} must be one line of printable text: {value!r}")
    return _environment.get_template(template).render(values)


def write_text(path: Path, text: str) -> None:
    """Write a text file; see :func:`write_atomically`."""
    write_atomically(path, lambda part: part.write_text(text))
