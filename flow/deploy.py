"""Bring a build to a PYNQ board over SSH, and hold the board against the golden samples."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rich.filesize import decimal

from ..errors import BitexpertError
from ..hw.ops.topk import TopK
from ..sim.board import PACKAGE
from ..sim.toolchain import ToolError
from .build import BuildResult, open_build
from .frames import FramesError, read_array, read_frames
from .lock import locked
from .lower import wired
from .model_file import hardware_input, load_model
from .package import BITFILES, save_frames
from .remote import Done, Remote, Secret, Target, connect
from .scores import OutputForm
from .templates import FOLDER as TEMPLATES
from .templates import write_text

__all__ = ["BoardFacts", "DeployError", "DeployResult", "deploy"]

ON_BOARD = TEMPLATES / "deploy" / "on_board.py"
OLDEST_PYTHON, OLDEST_PYNQ = (3, 8), (2, 7)
# Seconds: for a command that does little; for `import pynq`, which takes long on a Zynq; beyond the time that
# validate has, until it must have been ended.
QUICK, LOOK, GRACE = 30.0, 120.0, 30.0
# Room on the board beside the package, for results.
SPARE_BYTES = 4_000_000
# What the command `timeout` of the board exits with when the time is over: ended, killed.
TIMED_OUT = (124, 137)
RESULT = "validation.json"
# Files without which there is nothing to deploy.
NEEDED = tuple(
    f"{PACKAGE}/{name}" for name in ("driver.py", "validate.py", "shell.json", "golden/input.npy", "golden/output.npy")
)


class DeployError(BitexpertError):
    """A package that isn't complete, or a board that can't run it."""


@dataclass(frozen=True)
class BoardFacts:
    """What a board has.

    Parameters
    ----------
    name : str
        As its image calls it; may be empty.
    python, pynq : str
        Versions.
    free : int
        Bytes.
    """

    name: str
    python: str
    pynq: str
    free: int


@dataclass(frozen=True)
class DeployResult:
    """What the board sent.

    Parameters
    ----------
    folder : Path
        Of the build.
    host, place : str
        Where the package is: user@host, and the folder there.
    earlier : str
        Folder on the board with the package that was there before; empty if there was none.
    board : BoardFacts
    files, size : int
        Number of files and bytes copied.
    design_hash : str
    seconds : float
        That validate took.
    found : dict
        What validate told: ``golden_frames``, ``mismatches`` (elements), ``first_difference``, ``faults``,
        and, with labelled images, ``images`` and ``accuracy`` (0..1).
    """

    folder: Path
    host: str
    place: str
    earlier: str
    board: BoardFacts
    files: int
    size: int
    design_hash: str
    seconds: float
    found: dict[str, Any]

    @property
    def equal(self) -> bool:
        """Whether every element was right, and the hardware tells of no fault."""
        return not self.found["mismatches"] and not self.found["faults"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        data = asdict(self)
        found = data.pop("found")
        return {"source": "validate on the board", **data, "folder": str(self.folder), **found}


def deploy(
    folder: Path,
    target: Target,
    *,
    secret: Secret,
    place: str | None = None,
    images: Path | None = None,
    labels: Path | None = None,
    timeout: float = 300.0,
    on_board: Callable[[BoardFacts], object] | None = None,
    on_bytes: Callable[[int, int], object] | None = None,
) -> DeployResult:
    """Copy a build's package to a board and run its ``validate`` there.

    The new package takes the place of the one before when it is complete; that one is kept beside it until the
    next time. Leaves ``verification/board.json`` in the build.

    Parameters
    ----------
    folder : Path
        A finished build, with the bitfile in ``deploy/``.
    target : Target
    secret : callable
        Asked for passwords, see :func:`bitexpert.flow.remote.connect`; the login's is used for sudo, too.
    place : str, optional
        Folder on the board, from the user's home; default: ``bitexpert/<name of the build folder>``.
    images, labels : Path, optional
        Frames as ``simulate`` takes them and the class of each (.npy), for the accuracy. Both or none.
    timeout : float
        Seconds that validate.py may take.
    on_board : callable, optional
        Called with what the board has, before anything is copied.
    on_bytes : callable, optional
        Called with the bytes copied so far and their number in all.

    Raises
    ------
    BuildError, DeployError, FramesError
        What is here can't be used, or the board can't.
    RemoteError
        The board can't be reached or logged into, or the connection was lost.
    ToolError
        paramiko is missing, or validate.py failed in a way that it doesn't explain.
    """
    if timeout <= 0:
        raise DeployError(f"the timeout is a number of seconds above 0, not {timeout:g}")
    with locked(folder) if folder.is_dir() else nullcontext(), tempfile.TemporaryDirectory() as scratch:
        build = open_build(folder)
        files = _package_files(build.folder)
        files |= _labelled(build, images, labels, Path(scratch))
        size = sum(path.stat().st_size for path in files.values())
        with connect(target, secret) as remote:
            board = _Board(remote, secret)
            seen = board.look(_wanted_place(build.folder, place))
            facts = _usable(seen, target, size)
            if on_board:
                on_board(facts)
            board.copy(files, seen["part"], lambda done: on_bytes and on_bytes(done, size))
            earlier = board.on_board("swap", seen["folder"], QUICK)["earlier"]
            start = time.perf_counter()
            found = board.validate(PurePosixPath(seen["folder"]), timeout, labelled=images is not None)
            seconds = round(time.perf_counter() - start, 3)
        result = DeployResult(
            folder=build.folder,
            host=str(target),
            place=seen["folder"],
            earlier=earlier,
            board=facts,
            files=len(files),
            size=size,
            design_hash=json.loads(files[f"{PACKAGE}/shell.json"].read_text())["design_hash"],
            seconds=seconds,
            found=found,
        )
        write_text(build.folder / "verification" / "board.json", json.dumps(result.as_dict(), indent=1) + "\n")
        return result


# -- here -----------------------------------------------------------------------------------------------
def _package_files(folder: Path) -> dict[str, Path]:
    """The package's files by their names in it; checks that it is whole and the bitfile that of the design."""
    package = folder / "deploy"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    # the bitfile comes last
    found = {str(p.relative_to(package)): p for p in sorted(files, key=lambda path: (path.stat().st_size, path))}
    lost = [name for name in NEEDED if name not in found]
    if lost:
        raise DeployError(f"{package} lacks {lost[0]}; run `bitexpert build` again")
    make = f"run `make bitstream` in {folder / 'vivado'}, on a PC with Vivado"
    lost = [Path(name).name for name in BITFILES if name not in found]
    if lost:
        raise DeployError(f"{package / PACKAGE} has no {' and no '.join(lost)}; {make}, or copy them there")
    design = [path.stat().st_mtime for room in ("rtl", "shell") for path in (folder / room).iterdir()]
    if found[BITFILES[0]].stat().st_mtime < max(design):
        raise DeployError(
            f"{found[BITFILES[0]]} is older than the design in {folder / 'rtl'}: {make}. If only the times are wrong"
            " (the folder was copied), touch the file; the board compares the design's hash in any case"
        )
    return found


def _labelled(build: BuildResult, images: Path | None, labels: Path | None, scratch: Path) -> dict[str, Path]:
    """Labelled images as validate takes them."""
    if images is None and labels is None:
        return {}
    if images is None or labels is None:
        raise DeployError("--images and --labels go together: give both or none")
    source = hardware_input(load_model(build.folder / "model.qonnx.onnx"))
    frames, classes = wired(build.graph, read_frames(images, source)), read_array(labels)
    if classes.shape != (len(frames),) or not np.issubdtype(classes.dtype, np.integer):
        raise FramesError(
            f"{labels} must hold one integer for each of the {len(frames)} images;"
            f" it has {classes.dtype} of shape {classes.shape}"
        )
    if not _largest_is_the_class(build):
        raise DeployError(
            "the largest integer that this accelerator sends needn't be the class: its scores have several scales, or"
            " it sends several classes; leave out --images and --labels, and take the accuracy from `simulate`"
        )
    found = {"images.npy": scratch / "images.npy", "labels.npy": scratch / "labels.npy"}
    save_frames(build.graph, found["images.npy"], frames)
    np.save(found["labels.npy"], classes)
    return found


def _largest_is_the_class(build: BuildResult) -> bool:
    """Whether validate, which knows no scales, finds the class of a frame."""
    best = [node.op.k for node in build.graph.nodes if isinstance(node.op, TopK)]
    if best:
        return best == [1]
    form = OutputForm.of(load_model(build.folder / "streamlined.onnx"))
    one_scale = len({*form.scale.tolist()}) == 1 and len({*form.bias.tolist()}) == 1 and form.scale[0] > 0
    return one_scale and form.order is None and form.top_k <= 1


def _wanted_place(folder: Path, place: str | None) -> PurePosixPath:
    """Folder on the board, from the user's home."""
    if place is None:
        return PurePosixPath("bitexpert", re.sub(r"[^\w.-]", "_", folder.resolve().name, flags=re.ASCII))
    path = PurePosixPath(place)
    if not place.isprintable() or path.name in ("", ".", ".."):
        raise DeployError(f"--folder {place!r} names no folder of its own on the board")
    return path


# -- there ----------------------------------------------------------------------------------------------
class _Board:
    """The programs on a board, run as root in a login shell: PYNQ's Python is set up by /etc/profile.d."""

    def __init__(self, remote: Remote, secret: Secret) -> None:
        self.remote = remote
        self._become, self._stdin = self._root(secret)

    def _root(self, secret: Secret) -> tuple[str, str]:
        """What stands before a command that root is to run, and what it reads from stdin."""
        target = self.remote.target
        if self.remote.run("id -u", timeout=QUICK).output.split() == ["0"]:
            return "", ""
        if self.remote.run("sudo -n true", timeout=QUICK).status == 0:
            return "sudo -n -- ", ""
        password = self.remote.password or secret(f"password of {target.user} for sudo on {target.host}")
        become, stdin = "sudo -k -S -p '' -- ", password + "\n"
        done = self.remote.run(f"{become}true", timeout=QUICK, stdin=stdin)
        if done.status:
            raise DeployError(
                f"loading a bitfile needs root, and sudo on {target.host} refuses {target.user}: {done.complaint};"
                " let the user in (sudo visudo), or log in as root: --user root"
            )
        return become, stdin

    def as_root(self, command: str, timeout: float) -> Done:
        """Run a command line in root's login shell."""
        return self.remote.run(f"{self._become}bash -lc {shlex.quote(command)}", timeout=timeout, stdin=self._stdin)

    def on_board(self, what: str, folder: str, timeout: float) -> dict[str, Any]:
        """Run templates/deploy/on_board.py there."""
        words = ["python3", "-B", "-c", ON_BOARD.read_text(), what, folder]
        done = self.as_root(shlex.join(words), timeout)
        if done.status == 127:
            raise DeployError(f"{self.remote.target.host} has no python3 ({done.complaint}); is it a PYNQ board?")
        if done.status:
            raise DeployError(f"{self.remote.target.host} can't use the folder {folder}: {done.complaint}")
        answers = [line for line in done.output.splitlines() if line.startswith("{")]  # profiles may print, too
        if not answers:
            raise DeployError(f"python3 on {self.remote.target.host} gives no answer; is it a PYNQ board?")
        return json.loads(answers[-1])

    def look(self, place: PurePosixPath) -> dict[str, Any]:
        """What the board has, and what lies at a folder, from the user's home."""
        return self.on_board("look", str(self.remote.home() / place), LOOK)

    def copy(self, files: dict[str, Path], part: str, on_bytes: Callable[[int], object]) -> None:
        """Copy the package into a fresh folder, as the user, who keeps it."""
        folders = {str(PurePosixPath(part, name).parent) for name in files}
        command = f"rm -rf -- {shlex.quote(part)} && mkdir -p -- {shlex.join(sorted(folders))}"
        done = self.remote.run(command, timeout=QUICK)
        if done.status:
            raise DeployError(
                f"{self.remote.target} can't write there: {done.complaint}; choose another place with --folder"
            )
        self.remote.copy(files, PurePosixPath(part), on_bytes)

    def validate(self, folder: PurePosixPath, timeout: float, *, labelled: bool) -> dict[str, Any]:
        """Run validate; what it told."""
        words = ["timeout", "-k", "5", f"{timeout:g}", "python3", "-B", "-m", f"{PACKAGE}.validate", "--json", RESULT]
        if labelled:
            words += ["--images", "images.npy", "--labels", "labels.npy"]
        done = self.as_root(f"cd {shlex.quote(str(folder))} && {shlex.join(words)}", timeout + GRACE)
        where = f"validate on {self.remote.target.host}"
        if done.status in TIMED_OUT:
            raise DeployError(
                f"{where} didn't end within {timeout:g} s; give it longer (--timeout), or load the bitfile anew"
                " after switching the board off and on"
            )
        told = self.remote.read(folder / RESULT)
        if done.status in (0, 1) and told is not None:
            return json.loads(told)
        if done.status == 2:
            raise DeployError(f"{where}: {done.complaint.removeprefix('error: ')}")
        raise ToolError(
            f"{where} failed: {done.complaint}; to see it, there: sudo -i, then"
            f" cd {folder} && python3 -m {PACKAGE}.validate"
        )


def _usable(seen: dict[str, Any], target: Target, size: int) -> BoardFacts:
    """Check what a board told of itself."""
    python = ".".join(map(str, seen["python"]))
    if tuple(seen["python"][:2]) < OLDEST_PYTHON:
        raise DeployError(
            f"{target.host} has Python {python}, the driver needs 3.8; put a newer PYNQ image on the board"
        )
    if not seen["pynq"]:
        raise DeployError(
            f"Python on {target.host} can't import pynq ({seen['problem']}); is it a PYNQ board? If so, does"
            " `sudo -i python3 -c 'import pynq'` work there?"
        )
    version = tuple(int(n) for n in re.findall(r"\d+", seen["pynq"])[:2])
    if version < OLDEST_PYNQ:
        raise DeployError(
            f"{target.host} has pynq {seen['pynq']}, the driver needs 2.7; put a newer PYNQ image on the board"
        )
    if seen["foreign"]:
        raise DeployError(
            f"{seen['foreign'][0]} on {target.host} isn't a package of bitexpert's; choose another place with --folder"
        )
    if seen["free"] < size + SPARE_BYTES:
        raise DeployError(
            f"{target.host} has {decimal(seen['free'])} free, the package needs {decimal(size + SPARE_BYTES)};"
            " make room there, or choose another place with --folder"
        )
    return BoardFacts(seen["board"], python, seen["pynq"], seen["free"])
