"""The command line.

Exit status: 0 all is well; 1 a rung of the ladder differs or hangs; 2 the input cannot be used (the message
says what to change); 3 a tool is missing or failed; 4 an error inside bitexpert; 130 stopped by Ctrl-C; 141
the reader of a pipe has gone. An error is one line on stderr; with ``--json``, stdout also gets
``{"error": ..., "exit_status": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .. import __version__
from ..errors import BitexpertError
from .cli_deploy import deploy
from .cli_search import search
from .cli_zoo import zoo
from .terminal import Json, console, errors, print_json, say

__all__ = ["app", "main"]

EPILOG = (
    "Exit status: 0 all is well, 1 a rung differs or hangs, 2 the input cannot be used, 3 a tool is missing or failed,"
    " 4 an error inside bitexpert, 130 stopped. Add --debug to see where an error comes from."
)
app = typer.Typer(
    help="Turns trained high-capacity binary neural networks into FPGA accelerators, proven equal bit for bit.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
STOPPED, PIPE_CLOSED = 130, 141
app.add_typer(zoo, name="zoo")
app.command()(deploy)


def _on_step(quiet: bool):
    def show(name: str, number: int, count: int, runs: bool) -> None:
        what = "Running step" if runs else "Step is up to date"
        say(f"{what}: {name} \\[{number}/{count}]", quiet)

    return show


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe (YAML), or the name of a bundled one, e.g. digits.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder to make; a run that was stopped goes on.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder with the data set; default: bundled, or downloaded.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier run in that folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network and leave a run folder with its checkpoint."""
    from . import api

    result = api.train(recipe, out, data=data, overwrite=overwrite, progress=not as_json, accelerator=accelerator)
    if os.environ.get("RANK", "0") != "0":  # torchrun's first process speaks for all
        return
    if as_json:
        print_json(result)
    else:
        seconds, file = f"{result['seconds']:.0f} s", escape(str(out / "model.pt"))
        say(f"held-out accuracy {result['accuracy']:.2%} after {seconds}: {file}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="model.pt of a run folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="QONNX file to write.")],
    as_json: Json = False,
) -> None:
    """Export a checkpoint to one QONNX file, checked against the network."""
    from . import api

    path = api.export(checkpoint, out)
    size = path.stat().st_size
    if as_json:
        print_json({"model": str(path), "bytes": size})
    else:
        say(f"exported {escape(str(path))} ({size / 1024:.0f} KiB); qonnx computes the same scores as torch")


@app.command()
def build(
    model: Annotated[Path, typer.Argument(help="QONNX file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Build folder; an earlier build there is resumed.")],
    board: Annotated[str | None, typer.Option(help="Board, e.g. pynq-z2.")] = None,
    target_fps: Annotated[float | None, typer.Option(help="Frames a second to reach with the least hardware.")] = None,
    target_latency_us: Annotated[
        float | None, typer.Option(help="Microseconds from a frame's first beat to its result, likewise.")
    ] = None,
    folding: Annotated[Path | None, typer.Option(help="Folding in FINN's JSON form; wins over the targets.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Send the k best classes instead of the scores.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input", help="Frames (.npy) for the checks.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Enables the torch rung of simulate.")] = None,
    config: Annotated[Path | None, typer.Option(help="Build configuration (YAML).")] = None,
    as_json: Json = False,
) -> None:
    """Generate the accelerator: streamline, lower, fold, emit RTL, HLS and Vivado scripts."""
    from . import api
    from .config import read_config

    settings = read_config(
        config,
        board=board,
        target_fps=target_fps,
        target_latency_us=target_latency_us,
        folding_config_file=folding,
        top_k=top_k,
        verify_input_npy=input_file,
        checkpoint=checkpoint,
    )
    result = api.build(model, out, settings, on_step=_on_step(as_json))
    performance = json.loads((out / "report" / "estimate_network_performance.json").read_text())
    if as_json:
        print_json({"folder": str(out), "seconds": result.steps, "performance": performance})
        return
    folder = escape(str(out))
    say(
        f"{folder}: about {performance['estimated_throughput_fps']:,.0f} frames/s at"
        f" {performance['clock_mhz']:g} MHz (estimate). Next: bitexpert simulate {folder}"
    )


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Build folder.")],
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Frames (.npy); default: those of the build.")
    ] = None,
    rungs: Annotated[str | None, typer.Option(help="Comma-separated; default: all that are possible.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Use the first N frames at most.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Class of each frame (.npy): also print the accuracy.")] = None,
    as_json: Json = False,
) -> None:
    """Run frames through the ladder and compare every rung with the exported model."""
    from . import api
    from .present import rung_line, simulation_summary

    report = api.simulate(
        folder,
        input_file=input_file,
        rungs=rungs.split(",") if rungs else None,
        samples=samples,
        labels=labels,
        on_rung=None if as_json else (lambda result: say(rung_line(result))),
    )
    if as_json:
        print_json(report.as_dict())
    else:
        say(simulation_summary(report))
    if report.mismatches:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Build folder.")],
    as_json: Json = False,
) -> None:
    """Show what a build is made of, what it needs and what it does; draw it into report/."""
    from . import api
    from .present import report_tables

    data = api.report(folder)
    if as_json:
        print_json(data)
        return
    for table in report_tables(data):
        console.print(table)
    say(f"picture: {escape(str(folder / 'report' / 'accelerator.svg'))}")


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Build folder.")],
    device: Annotated[
        str | None, typer.Option(help="xc7z020, xczu3eg or ecp5-85k; default: the device on the build's board.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Synthesise a build with Yosys and count what each operator takes; for ECP5, route it and tell the frequency."""
    from . import api
    from .present import synthesis_tables

    say("Synthesis; the first on a machine takes minutes more, because the tools are compiled", as_json)
    data = api.synth(folder, device)
    if as_json:
        print_json(data)
        return
    for part in synthesis_tables(data):
        console.print(part, soft_wrap=isinstance(part, str))
    say(f"netlist and logs: {escape(str(folder / 'synth' / data['device']))}")


@app.command()
def doctor(
    model: Annotated[Path | None, typer.Argument(help="QONNX file to look at; without it, the installation.")] = None,
    as_json: Json = False,
) -> None:
    """Show what each node of a model becomes, or what is installed; and what is missing and what to do."""
    if model is not None:
        _doctor_model(model, as_json)
        return
    from .doctor import examine
    from .present import doctor_table

    findings = examine()
    complete = all(f.found for f in findings if f.required)
    if as_json:
        print_json({"complete": complete, "findings": [f.as_dict() for f in findings]})
    else:
        console.print(doctor_table(findings))
    if not complete:
        raise typer.Exit(3)


def _doctor_model(model: Path, as_json: bool) -> None:
    from .api import inspect
    from .present import model_tables

    found = inspect(model)
    if as_json:
        print_json(found.as_dict())
    else:
        for part in model_tables(found):
            console.print(part, soft_wrap=isinstance(part, str))
    if found.problems:
        raise typer.Exit(2)


@app.command()
def cost(
    network: Annotated[
        str, typer.Argument(help="Name, e.g. es-resnet-20, or notation, e.g. 1262-2-4:8:8:16; a wrong one lists them.")
    ],
    as_json: Json = False,
) -> None:
    """Count a network's binary and real operations, parameters and representation capacity, layer by layer."""
    from . import api
    from .present import cost_tables

    data = api.cost(network)
    if as_json:
        print_json(data)
        return
    for part in cost_tables(data):
        console.print(part, soft_wrap=isinstance(part, str))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for all that the demo makes.")] = Path("demo"),
    fresh: Annotated[bool, typer.Option(help="Train again even if the folder holds a trained network.")] = False,
    as_json: Json = False,
) -> None:
    """The main job: train on handwritten digits, export, build, and verify on every held-out digit."""
    from .demo import run_demo
    from .present import demo_summary, rung_line

    result = run_demo(
        out,
        fresh=fresh,
        quiet=as_json,
        say=lambda text: say(escape(text), as_json),
        on_step=_on_step(as_json),
        on_rung=lambda rung: say(rung_line(rung), as_json),
    )
    if as_json:
        print_json(result.as_dict())
    else:
        for part in demo_summary(result):
            console.print(part, soft_wrap=isinstance(part, str))
    if result.simulation.mismatches:
        raise typer.Exit(1)


app.command()(search)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command ``bitexpert``; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    as_json = "--json" in words

    def fail(message: str, status: int) -> int:
        if debug and sys.exc_info()[0]:
            traceback.print_exc()
        line = " ".join(message.split())
        if as_json:
            print_json({"error": line, "exit_status": status})
        errors.print(f"[bold red]error:[/] {escape(line)}", soft_wrap=True)
        return status

    try:
        status = int(app(words, standalone_mode=False) or 0)
    except BitexpertError as error:
        return fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        status = STOPPED
    except SystemExit:  # how the libraries below end where the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return fail(f"{place}{error.strerror or error}; check the path, its permissions and the space on the disk", 2)
    except Exception as error:
        if hasattr(error, "format_message"):  # a wrong option or argument, from the command-line library
            text = error.format_message()
            return fail(f"{text} (see bitexpert --help)", 2) if text else 2  # no text: the help has been shown
        text = f"internal error, {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return fail(f"{text}; please report it with the output of the same command and --debug", 4)
    if status == STOPPED:
        return fail("stopped; run the same command again to go on", STOPPED)
    return status


if __name__ == "__main__":
    sys.exit(main())
