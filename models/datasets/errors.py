"""What goes wrong with data."""

from ...errors import BitexpertError

__all__ = ["DataError"]


class DataError(BitexpertError):
    """A data set can't be read; the message names the set or the file, and what to do."""
