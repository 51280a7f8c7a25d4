"""Downloads with a checksum, into a cache."""

from dataclasses import dataclass
from pathlib import Path

import pooch

from .errors import DataError

__all__ = ["CACHE_VARIABLE", "RemoteFile", "fetch"]

#: Environment variable that names another folder for the cache.
CACHE_VARIABLE = "BITEXPERT_DATA"
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes
    ----------
    url : str
        Its address; the last part is the file's name.
    md5 : str
        Its checksum, hexadecimal.
    """

    url: str
    md5: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]


def fetch(remote: RemoteFile, dataset: str, remedy: str, *, retries: int = 1) -> Path:
    """The file in the cache, which is downloaded if it isn't there or its checksum is wrong.

    Parameters
    ----------
    remote : RemoteFile
        What to download.
    dataset : str
        Name of the data set, and of its folder in the cache.
    remedy : str
        What to do where there is no internet; ends the message.
    retries : int
        How often a failed download is started again.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file can't be downloaded, or has another checksum; nothing is left in the cache then.
    """
    key = f"{dataset}/{remote.name}"
    cache = pooch.create(
        path=pooch.os_cache("bitexpert"),
        base_url="",
        env=CACHE_VARIABLE,
        registry={key: f"md5:{remote.md5}"},
        urls={key: remote.url},
        retry_if_failed=retries,
    )
    try:
        return Path(cache.fetch(key, downloader=pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)))
    except OSError as error:  # requests' errors are among these
        raise DataError(
            f"{dataset}: {remote.url} can't be downloaded to {cache.path} ({type(error).__name__}); {remedy}"
        ) from error
    except ValueError as error:
        raise DataError(f"{dataset}: what came from {remote.url} has a wrong checksum; {remedy}") from error
