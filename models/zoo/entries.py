"""The entries of a zoo: for each network a card ``NAME.yaml`` and a file ``NAME.npz`` in one folder."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..files import write_atomically
from ..network import BinaryNetwork
from .card import Card, card_text, read_card
from .pack import MAX_BYTES, ZooError, unpack

__all__ = ["SHIPPED", "Entry", "names", "open_entry", "write_entry"]

#: The networks that come with the package.
SHIPPED = Path(str(resources.files(__package__))) / "networks"


@dataclass(frozen=True)
class Entry:
    """A network of the zoo.

    Attributes
    ----------
    card : Card
    file : Path
        The packed network.
    """

    card: Card
    file: Path

    def network(self) -> BinaryNetwork:
        """The network, frozen and in eval mode.

        Raises
        ------
        ZooError
            If the file is missing, or isn't the one that the card tells of.
        """
        try:
            if self.file.stat().st_size > MAX_BYTES:
                raise ZooError(f"{self.file}: the file is larger than any packed network; get it again")
            content = self.file.read_bytes()
        except OSError as error:
            raise ZooError(f"{self.file}: cannot be read: {error.strerror or error}; get the file again") from error
        if hashlib.sha256(content).hexdigest() != self.card.sha256:
            raise ZooError(
                f"{self.file}: this isn't the file that the card tells of (its sha256 differs): it is damaged or of "
                "another release; get card and file again"
            )
        return unpack(content, str(self.file))


def names(folder: Path = SHIPPED) -> list[str]:
    """Names of the entries in a folder, sorted."""
    if not folder.is_dir():
        raise ZooError(f"{folder}: there is no such folder; give one with cards (NAME.yaml) and networks (NAME.npz)")
    return sorted(path.stem for path in folder.glob("*.yaml") if not path.name.startswith("."))


def open_entry(name: str, folder: Path = SHIPPED) -> Entry:
    """Find an entry and read its card.

    Raises
    ------
    ZooError
        If there is none of that name (the message lists those that there are), or the card is wrong.
    """
    known = names(folder)
    if name not in known:
        raise ZooError(f"the zoo has no network {name!r}; it has: {', '.join(known) or 'none'}")
    return Entry(read_card(folder / f"{name}.yaml"), folder / f"{name}.npz")


def write_entry(card: Card, content: bytes, folder: Path) -> Entry:
    """Write card and packed network; what fails leaves both as they were.

    Parameters
    ----------
    card : Card
    content : bytes
        Of `pack`.
    folder : Path
        Made if missing.

    Raises
    ------
    WriteError
        If the folder can't be written.
    """
    entry = Entry(card, folder / f"{card.name}.npz")

    def both(part: Path) -> None:
        part.write_text(card_text(card), encoding="utf-8")
        write_atomically(entry.file, lambda file: file.write_bytes(content))

    # the card is whole before the network is replaced, and takes its place right after it
    write_atomically(folder / f"{card.name}.yaml", both)
    return entry
