"""One command at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BitexpertError

__all__ = ["BusyError", "locked"]


class BusyError(BitexpertError):
    """Another command works in the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other commands out of a folder while the block runs.

    The lock lies on the folder itself, so it leaves no file behind, and it ends with the process, however that
    ends. Where a file system has no locks, nobody is kept out.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Raises
    ------
    BusyError
        Another command holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"another bitexpert command is at work in {folder}; wait until it has ended, or use another folder"
            ) from None
        except OSError:
            pass  # some network file systems lock no folders
        yield
    finally:
        os.close(handle)
