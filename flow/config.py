"""The configuration of a build: one YAML file, with FINN's key names where they mean the same."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BitexpertError

__all__ = ["BuildConfig", "ConfigError", "read_config"]


class ConfigError(BitexpertError):
    """A configuration with an unknown key or a value that is out of range."""


class BuildConfig(BaseModel):
    """What a build is to make.

    Parameters
    ----------
    board : str
        Name of a board of hw/boards.
    target_fps : float, optional
        Frames a second to reach with the least hardware.
    target_latency_us : float, optional
        Microseconds from a frame's first beat to its result to reach with the least hardware; maybe with
        ``target_fps``.
    folding_config_file : Path, optional
        Folding in FINN's JSON form; wins over the targets.
    synth_clk_period_ns : float, optional
        Clock period; default: the board's.
    top_k : int
        0: the accelerator sends the integer scores; k > 0: the indices of the k largest.
    verify_input_npy : Path, optional
        Frames for the checks after each pass, and the default input of ``simulate``.
    verify_samples : int
        Frames used by the checks after each pass.
    checkpoint : Path, optional
        The trained network that the model was exported from; enables the torch rung.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    board: str = "pynq-z2"
    target_fps: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    target_latency_us: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    folding_config_file: Path | None = None
    synth_clk_period_ns: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    top_k: int = Field(default=0, ge=0)
    verify_input_npy: Path | None = None
    verify_samples: int = Field(default=8, ge=1)
    checkpoint: Path | None = None


def read_config(path: Path | None, **overrides: object) -> BuildConfig:
    """Read a configuration file and put command-line values over it.

    Parameters
    ----------
    path : Path or None
        YAML; None means all defaults.
    **overrides
        Values that win; None means "not given".

    Raises
    ------
    ConfigError
        Names the file, the key and what is wrong with it.
    """
    data: object = {}
    if path is not None:
        try:
            data = yaml.safe_load(path.read_text()) or {}
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: expected keys and values")
    assert isinstance(data, dict)
    values = {**data, **{k: v for k, v in overrides.items() if v is not None}}
    try:
        return BuildConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = f"; known keys: {', '.join(BuildConfig.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise ConfigError(f"{path or 'configuration'}: {key}: {first['msg']}{known}") from None
