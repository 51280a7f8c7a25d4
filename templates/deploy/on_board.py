"""What `bitexpert deploy` has a board do itself; sent to its Python, never stored there.

    look FOLDER     tells what the board has, and what lies at FOLDER, as one line of JSON
    swap FOLDER     puts the package in beside(FOLDER)[0] in FOLDER's place

The syntax is that of Python 3.6, so that an old Python can say how old it is.
"""

import json
import os
import shutil
import sys


def beside(folder):
    """Where a new package is copied to, and where the one before is kept."""
    parent, name = os.path.split(folder)
    return os.path.join(parent, "." + name + ".part"), folder + ".earlier"


def foreign(path):
    """Whether something lies there that isn't a package."""
    if not os.path.isdir(path):
        return os.path.lexists(path)
    names = os.listdir(path)
    return bool(names) and not {"setup.py", "bitexpert_accelerator"} <= set(names)


def look(folder):
    """The board's versions, and the room and the files at a folder."""
    try:
        import pynq

        version, problem = str(pynq.__version__), ""
    except Exception as error:  # an installation can be broken in many ways
        version, problem = "", f"{type(error).__name__}: {error}"
    folder = os.path.realpath(folder)
    existing = folder
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    return {
        "python": list(sys.version_info[:3]),
        "pynq": version,
        "problem": problem,
        "board": os.environ.get("BOARD", ""),
        "folder": folder,
        "part": beside(folder)[0],
        "earlier": beside(folder)[1],
        "free": shutil.disk_usage(existing).free,
        "foreign": [path for path in (folder, beside(folder)[1]) if foreign(path)],
    }


def swap(folder):
    """Put the new package in the folder's place; the one that was there is kept until the next time."""
    part, earlier = beside(folder)
    os.sync()  # a board is switched off without asking
    kept = os.path.isdir(folder)
    if kept:
        if os.path.isdir(earlier):
            shutil.rmtree(earlier)
        os.rename(folder, earlier)
    try:
        os.rename(part, folder)
    except OSError:
        if kept:
            os.rename(earlier, folder)
        raise
    os.sync()
    return {"earlier": earlier if kept else ""}


if __name__ == "__main__":
    print(json.dumps({"look": look, "swap": swap}[sys.argv[1]](sys.argv[2])))
