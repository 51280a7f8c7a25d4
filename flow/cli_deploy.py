"""The command ``bitexpert deploy``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .remote import RemoteError, Secret, Target
from .terminal import Json, errors, print_json, say

if TYPE_CHECKING:
    from .deploy import BoardFacts, DeployResult

__all__ = ["deploy"]


def deploy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Build folder, with the bitfile in deploy/.")],
    host: Annotated[str, typer.Option(help="Name or address of the board.")],
    user: Annotated[str, typer.Option(help="Who logs in; root, or one who may use sudo.")] = "xilinx",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the board's SSH server.")] = 22,
    place: Annotated[
        str | None,
        typer.Option("--folder", help="Folder on the board, from the user's home; default: bitexpert/NAME-OF-DIR."),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="Private key; default: those of the agent and in ~/.ssh, then the password.")
    ] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="Host keys that are trusted; default: ~/.ssh/known_hosts.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read what is asked for from stdin, a line each, not the terminal.")
    ] = False,
    images: Annotated[Path | None, typer.Option(help="Frames (.npy): also count what the board gets right.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Class of each of them (.npy).")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the board may take to validate.")] = 300.0,
    as_json: Json = False,
) -> None:
    """Copy a build to a PYNQ board over SSH, and compare what the board sends with the golden samples.

    Exit status: 0 all is equal; 1 elements differ; 2 the build or the board can't be used; 3 a tool is missing or
    failed.
    """
    from .deploy import deploy as run

    target = Target(host, user, port, identity, known_hosts)
    with _progress(as_json) as on_bytes:
        result = run(
            folder,
            target,
            secret=_secret(password_stdin),
            place=place,
            images=images,
            labels=labels,
            timeout=timeout,
            on_board=lambda facts: say(_facts_line(target, facts), as_json),
            on_bytes=on_bytes,
        )
    if as_json:
        print_json(result.as_dict())
    else:
        for line in _summary(result):
            say(line)
    if not result.equal:
        raise typer.Exit(1)


def _secret(from_stdin: bool) -> Secret:
    """Asks on the terminal, without showing what is typed, or reads a line of stdin."""

    def ask(what: str) -> str:
        if from_stdin:
            line = sys.stdin.readline()
            if not line:
                raise RemoteError(f"the {what} is needed, and stdin has no line left for it")
            return line.rstrip("\r\n")
        if not sys.stdin.isatty():
            raise RemoteError(
                f"the {what} is needed, and there is no terminal to ask on; give it with --password-stdin, or a key"
                " that the board knows with --identity"
            )
        return getpass(f"{what[0].upper()}{what[1:]}: ")

    return ask


@contextmanager
def _progress(silent: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal while files are copied, nothing elsewhere."""
    if silent or not errors.is_terminal:
        yield None
        return
    columns = (TextColumn("copying"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", visible=False)
        yield lambda done, size: bar.update(task, completed=done, total=size, visible=True)


def _facts_line(target: Target, facts: BoardFacts) -> str:
    name = f"{facts.name}, " if facts.name else ""
    return escape(f"{target}: {name}Python {facts.python}, pynq {facts.pynq}, {decimal(facts.free)} free")


def _summary(result: DeployResult) -> Iterator[str]:
    found = result.found
    yield f"  copied      {result.files} files, {decimal(result.size)} to {escape(result.place)}"
    if result.earlier:
        yield f"  kept        {escape(result.earlier)}: the package that was there"
    verdict = "[green]equal[/]" if result.equal else f"[bold red]{found['mismatches']} mismatches[/]"
    yield f"  board       {verdict}  {found['golden_frames']} samples, {result.seconds:.1f} s"
    if found["faults"]:
        yield f"    [bold red]the accelerator tells of {escape(', '.join(found['faults']))}[/]"
    if first := found["first_difference"]:
        place = ", ".join(f"{key} {first[key]}" for key in ("frame", "row", "column", "channel"))
        yield f"    first at {place}: expected {first['expected']}, found {first['found']}"
    total = f"on {found['golden_frames']} samples"
    if result.equal:
        text = f"[green]0 mismatches[/]: the board sends what the network computes, {total}"
    else:
        text = f"[bold red]the board isn't equal to the network[/] {total}"
    if "accuracy" in found:
        text += f"; accuracy {found['accuracy']:.2%} of {found['images']} images"
    yield text
