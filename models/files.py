"""Writing files so that a kill at any moment leaves the old file or the new one, never half of it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import BitexpertError

__all__ = ["PART", "WriteError", "write_atomically"]

#: A file that is not complete has this in its name, ``.<stem>.<random>.part<suffix>``; a kill may leave one behind.
PART = ".part"


class WriteError(BitexpertError, OSError):
    """A file can't be written; the message names it."""


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` make a temporary file beside ``path``, then rename it.

    Parameters
    ----------
    path : path
        The final place. Missing parent folders are made.
    write : callable
        Gets the temporary path, which has the same suffix.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    WriteError
        If the place can't be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=PART + path.suffix, dir=path.parent)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        # mkstemp makes private files; give the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
