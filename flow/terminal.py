"""The terminal that the commands share: what is printed where, and the option --json."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = ["Json", "console", "errors", "print_json", "say"]

# In a pipe tables keep their columns; COLUMNS in the environment wins.
WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
console = Console(width=WIDTH, emoji=False, highlight=False)
errors = Console(stderr=True, emoji=False, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def print_json(data: Any) -> None:
    """Print for machines."""
    print(json.dumps(data, indent=1))


def say(text: str, quiet: bool = False) -> None:
    """Print one line of markup, however long."""
    if not quiet:
        console.print(text, soft_wrap=True)
