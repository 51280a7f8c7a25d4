"""The verbs of bitexpert as functions; the command line and ``import bitexpert`` both use these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sim.ladder import RungResult
    from .build import BuildResult
    from .config import BuildConfig
    from .deploy import DeployResult
    from .doctor import Finding
    from .inspection import ModelReport
    from .search import SearchResult, SearchSpec
    from .search.study import OnTrial
    from .simulate import SimulationReport
    from .zoo import CheckResult

__all__ = [
    "build",
    "cost",
    "demo",
    "deploy",
    "doctor",
    "export",
    "inspect",
    "report",
    "search",
    "simulate",
    "synth",
    "train",
    "zoo_check",
    "zoo_get",
    "zoo_list",
]


def train(
    recipe: str | Path,
    run_folder: str | Path,
    *,
    data: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
    accelerator: str = "auto",
) -> dict[str, Any]:
    """Train a network; a run that was stopped is gone on with.

    Parameters
    ----------
    recipe : path or str
        A recipe file (YAML), or the name of a bundled one (``"digits"``).
    run_folder : path
        Receives ``model.pt``, the recipe, metrics, curves and the held-out samples.
    data : path, optional
        Where the data set lies; without it, it is downloaded, unless it is bundled.
    overwrite : bool
        Replace an earlier run there.
    progress : bool
        Show a progress bar.
    accelerator : {"auto", "cpu", "cuda"}

    Returns
    -------
    dict
        ``checkpoint`` (path), ``accuracy`` on held-out samples (0..1), ``seconds``, ``expert_usage``.
    """
    from ..models.recipe import load_recipe
    from ..models.train import train as run

    result = run(
        load_recipe(recipe),
        Path(run_folder),
        data=None if data is None else Path(data),
        progress=progress,
        overwrite=overwrite,
        accelerator=accelerator,
    )
    return {
        "checkpoint": str(result.checkpoint),
        "accuracy": result.accuracy,
        "seconds": round(result.seconds, 1),
        "expert_usage": result.expert_usage,
    }


def export(checkpoint: str | Path, path: str | Path) -> Path:
    """Export a checkpoint to one QONNX file and check that it computes what the network computes.

    Parameters
    ----------
    checkpoint, path : path

    Returns
    -------
    Path of the file.
    """
    from .export import export as run

    return run(Path(checkpoint), Path(path))


def build(
    model: str | Path,
    folder: str | Path,
    config: BuildConfig | None = None,
    *,
    on_step: Callable[[str, int, int, bool], None] | None = None,
    **settings: Any,
) -> BuildResult:
    """Generate an accelerator from a QONNX file.

    Parameters
    ----------
    model, folder : path
    config : BuildConfig, optional
    on_step : callable, optional
        Called before each step: name, number, count, whether it runs.
    **settings
        Fields of BuildConfig, e.g. ``target_fps=1000``, if no ``config`` is given.
    """
    from .build import build as run
    from .config import read_config

    return run(Path(model), Path(folder), config or read_config(None, **settings), on_step=on_step)


def simulate(
    folder: str | Path,
    *,
    input_file: str | Path | None = None,
    rungs: list[str] | None = None,
    samples: int | None = None,
    labels: str | Path | None = None,
    on_rung: Callable[[RungResult], None] | None = None,
) -> SimulationReport:
    """Run frames through the ladder; see :func:`bitexpert.flow.simulate.simulate`."""
    from .simulate import simulate as run

    return run(
        Path(folder),
        input_file=Path(input_file) if input_file else None,
        rungs=rungs,
        samples=samples,
        labels=Path(labels) if labels else None,
        on_rung=on_rung,
    )


def report(folder: str | Path) -> dict[str, Any]:
    """What a build is made of, needs and does; draws ``report/accelerator.svg`` and ``.png``."""
    from .reports import summary

    return summary(Path(folder))


def synth(folder: str | Path, device: str | None = None) -> dict[str, Any]:
    """What each operator of a build takes after synthesis; see :func:`bitexpert.flow.synth.synth`."""
    from .synth import synth as run

    return run(Path(folder), device)


def deploy(
    folder: str | Path,
    host: str,
    *,
    user: str = "xilinx",
    port: int = 22,
    password: str | None = None,
    identity: str | Path | None = None,
    known_hosts: str | Path | None = None,
    **settings: Any,
) -> DeployResult:
    """Copy a build to a PYNQ board over SSH and validate it there; see :func:`bitexpert.flow.deploy.deploy`.

    Parameters
    ----------
    folder : path
        A finished build, with the bitfile in ``deploy/``.
    host, user : str
    port : int
    password : str, optional
        For the login, if no key is accepted, and for sudo; or the passphrase of ``identity``.
    identity, known_hosts : path, optional
        Private key; file of the host keys that are trusted. Default: what ssh takes.
    **settings
        ``place``, ``images``, ``labels``, ``timeout``, ``on_board``, ``on_bytes``.
    """
    from .deploy import deploy as run
    from .remote import RemoteError, Target

    def secret(what: str) -> str:
        if password is None:
            raise RemoteError(f"the {what} is needed: give password=..., or a key that needs none")
        return password

    target = Target(host, user, port, Path(identity) if identity else None, Path(known_hosts) if known_hosts else None)
    for name in ("images", "labels"):
        if settings.get(name) is not None:
            settings[name] = Path(settings[name])
    return run(Path(folder), target, secret=secret, **settings)


def search(
    spec: str | Path | Mapping[str, Any] | SearchSpec,
    folder: str | Path,
    *,
    trials: int | None = None,
    workers: str | None = None,
    data: str | Path | None = None,
    on_trial: OnTrial | None = None,
) -> SearchResult:
    """Search for networks at equal operations; see :func:`bitexpert.flow.search.study.search`."""
    from .search import search as run

    return run(spec, folder, trials=trials, workers_at=workers, data=data, on_trial=on_trial)


def doctor() -> list[Finding]:
    """What is installed, what is missing, and what each missing thing costs."""
    from .doctor import examine

    return examine()


def inspect(model: str | Path) -> ModelReport:
    """What each node of a QONNX file becomes, and what stands in the way; builds nothing.

    Parameters
    ----------
    model : path
    """
    from .inspection import inspect_model

    return inspect_model(Path(model))


def cost(network: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Count operations, parameters and representation capacity of a network, for one image.

    Parameters
    ----------
    network : str
        A name of the registry, or the notation of an Expert Binary Network, such as ``"1262-2-4:8:8:16"``.
    config : dict, optional
        Settings that differ from the network's defaults, e.g. ``{"experts": 1}``.

    Returns
    -------
    dict
        ``network``; sums ``bops`` (binary multiply-accumulates), ``flops`` (``macs``, the real ones, and
        ``elementwise``), ``ops`` (``bops / 64 + macs``), ``parameters``, ``binary_parameters``, ``capacity``; and
        ``layers`` with the same figures. See :func:`bitexpert.models.cost.count` for the rules.

    Raises
    ------
    NetworkError
        If the name is unknown or the config is wrong.
    """
    from ..models.networks import network_cost

    return {"network": network, **network_cost(network, config).as_dict()}


def demo(folder: str | Path, *, fresh: bool = False) -> Any:
    """The main job on handwritten digits; see :func:`bitexpert.flow.demo.run_demo`."""
    from .demo import run_demo

    return run_demo(Path(folder), fresh=fresh, quiet=True)


def zoo_list(**settings: Any) -> list[dict[str, Any]]:
    """The cards of the trained networks that come with the package; see :func:`bitexpert.flow.zoo.zoo_list`."""
    from .zoo import zoo_list as run

    return run(**settings)


def zoo_get(name: str, path: str | Path, **settings: Any) -> Path:
    """Export a network of the zoo to one QONNX file; see :func:`bitexpert.flow.zoo.zoo_get`."""
    from .zoo import zoo_get as run

    return run(name, path, **settings)


def zoo_check(names: str | list[str] | None = None, **settings: Any) -> list[CheckResult]:
    """Count the accuracy of the zoo's networks again; see :func:`bitexpert.flow.zoo.zoo_check`."""
    from .zoo import zoo_check as run

    return run(names, **settings)
