"""The commands ``bitexpert zoo ...``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from .terminal import Json, console, errors, print_json, say

if TYPE_CHECKING:
    from .zoo import CheckResult

__all__ = ["zoo"]

zoo = typer.Typer(
    help="Trained networks that come with bitexpert: list them, export one, count their accuracy again.",
    no_args_is_help=True,
)

_Print = Callable[[str], None]
Folder = Annotated[
    Path | None, typer.Option("--zoo", metavar="DIR", help="Another folder of entries; default: those shipped.")
]


def _place(folder: Path | None) -> dict[str, Any]:
    return {} if folder is None else {"folder": folder}


@contextmanager
def _working(quiet: bool) -> Iterator[tuple[_Print, _Print]]:
    """Two functions: one tells on stderr what is being done, if somebody looks at it; one prints a line of results."""
    if quiet or not errors.is_terminal:
        yield lambda text: None, lambda text: say(text, quiet)
        return
    with errors.status("") as line:

        def show(text: str) -> None:
            line.stop()  # results go to stdout, which would be written into this line
            say(text)
            line.start()

        yield lambda text: line.update(escape(text)), show


@zoo.command("list")
def list_networks(folder: Folder = None, as_json: Json = False) -> None:
    """Show the networks: data set, accuracy, operations, bits of weights, experts and copies."""
    from . import api

    cards = api.zoo_list(**_place(folder))
    if as_json:
        print_json(cards)
    elif cards:
        console.print(_table(cards))
        say("More of each is on its card, with --json. Next: bitexpert zoo get NAME -o model.onnx")
    else:
        say("The zoo is empty.")


def _table(cards: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("name", "data set", "right", "of", "accuracy", "BOPs", "weight bits", "experts", "copies", "title"):
        left = column in ("name", "data set", "title")
        table.add_column(column, justify="left" if left else "right", no_wrap=column != "title")
    for card in cards:
        network, accuracy = card["network"], card["accuracy"]
        table.add_row(
            card["name"],
            escape(card["test_set"]["dataset"]),
            f"{accuracy['right']:,}",
            f"{accuracy['total']:,}",
            f"{accuracy['right'] / accuracy['total']:.2%}",
            f"{network['bops']:.3g}",
            f"{network['weight_bits']:,}",
            str(max(network["experts"])) if max(network["experts"]) > 1 else "-",
            str(max(network["copies"])) if max(network["copies"]) > 1 else "-",
            escape(card["title"]),
        )
    return table


@zoo.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A name that `zoo list` shows.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="QONNX file to write.")],
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Export a network to one QONNX file, checked against the network."""
    from . import api

    path = api.zoo_get(name, out, **_place(folder))
    size = path.stat().st_size
    if as_json:
        print_json({"name": name, "model": str(path), "bytes": size})
    else:
        file = escape(str(path))
        say(f"exported {file} ({size / 1024:.0f} KiB); qonnx computes the same scores as torch")
        say(f"Next: bitexpert build {file} -o build")


@zoo.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder with the data; else: downloads.")] = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Count again how many test images each network gets right, and compare with its card.

    The network is exported to ONNX, and the file is compiled to the fast engine. Exit status 1: a count differs;
    2: nothing could be checked.
    """
    from . import api

    with _working(as_json) as (tell, show):
        results = api.zoo_check(
            names or None,
            data=data,
            **_place(folder),
            on_result=lambda result: show(_line(result)),
            say=tell,
        )
    status = 1 if any(r.status == "differs" for r in results) else 0
    if all(r.status == "not checked" for r in results):
        status = 2
    if as_json:
        print_json({"exit_status": status, "networks": [r.as_dict() for r in results]})
    elif status == 2:
        say("[bold red]nothing was checked[/]" + ("" if results else ": there are no networks in this zoo"))
    if status:
        raise typer.Exit(status)


def _line(result: CheckResult) -> str:
    colours = {"equal": "green", "differs": "bold red", "not checked": "yellow"}
    start = f"  [{colours[result.status]}]{result.status:<11}[/]  {result.name}: "
    if result.right is None:
        return start + escape(result.reason)
    counted = f"{result.right} of {result.total} right ({result.right / result.total:.2%})"
    if result.status == "equal":
        return f"{start}{counted}, {result.seconds:.1f} s"
    return f"{start}{counted}; the card says {result.expected}"


@zoo.command("add")
def add(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `train` made.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where NAME.yaml and NAME.npz go.")],
    title: Annotated[str, typer.Option(help="What a person reads in the list.")],
    test_set: Annotated[str, typer.Option(help="What the held-out images are.")],
    caveat: Annotated[
        list[str] | None, typer.Option(help="What a reader of the accuracy should know; may be given several times.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the entry; default: the recipe's.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an entry of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Pack the network of a run, count its accuracy, and write it with its card."""
    from .zoo import zoo_add

    with _working(as_json) as (tell, _):
        card = zoo_add(
            run,
            out,
            title=title,
            test_set=test_set,
            caveats=caveat or (),
            name=name,
            overwrite=overwrite,
            say=tell,
        )
    if as_json:
        print_json(card.model_dump(mode="json"))
    else:
        file = out / f"{card.name}.npz"
        counted = f"{card.accuracy.right} of {card.accuracy.total} right ({card.accuracy.share:.2%})"
        say(f"{escape(str(file))} ({file.stat().st_size / 1024:.0f} KiB) and its card: {counted}")
