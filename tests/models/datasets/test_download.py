import hashlib
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from bitexpert.models.datasets import DATASETS, DataError, load_dataset
from bitexpert.models.datasets import download as module
from bitexpert.models.datasets.download import RemoteFile, fetch
from smallsets import mnist_files


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; refuses the first requests, as many as the server's ``refusals``."""

    def do_GET(self):
        self.server.requests += 1
        if self.server.requests <= self.server.refusals:
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *args):
        """Nothing on stderr."""


class Server:
    """An HTTP server on this machine, which serves ``folder`` until it is closed."""

    def __init__(self, folder):
        self.folder = folder
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.http.requests = self.http.refusals = 0
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def remote(self, name, contents):
        """A file that is served, with its right checksum."""
        (self.folder / name).write_bytes(contents)
        url = f"http://127.0.0.1:{self.http.server_port}/{name}"
        return RemoteFile(url, hashlib.md5(contents).hexdigest())

    def close(self):
        if self.thread.is_alive():
            self.http.shutdown()
            self.thread.join()
            self.http.server_close()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    server = Server(folder)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("BITEXPERT_DATA", str(folder))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch's pause before it tries again
    return folder


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_set_is_downloaded_once(server, cache, monkeypatch):
    contents, train, test = mnist_files()
    remotes = [server.remote(name, contents[name]) for name in contents]
    monkeypatch.setitem(
        DATASETS, "mnist", replace(DATASETS["mnist"], train=tuple(remotes[:2]), test=tuple(remotes[2:]))
    )
    tuning = load_dataset("mnist", held_out=0.25)
    assert len(tuning.test_x) == 10
    assert files(cache) == ["mnist/train-images-idx3-ubyte", "mnist/train-labels-idx1-ubyte"], "not the test set"
    first = load_dataset("mnist")
    assert np.array_equal(first.train_x[..., 0], train[0])
    assert np.array_equal(first.test_y, test[1])
    assert server.http.requests == 4
    server.close()
    assert load_dataset("mnist").source == first.source


def test_a_wrong_checksum_leaves_nothing(server, cache):
    remote = server.remote("a.bin", b"right")
    (server.folder / "a.bin").write_bytes(b"wrong")
    with pytest.raises(DataError, match=r"set: what came from .*/a.bin has a wrong checksum; do this"):
        fetch(remote, "set", "do this")
    assert server.http.requests == 2, "one retry"
    assert files(cache) == []


def test_a_damaged_file_in_the_cache_is_replaced(server, cache):
    remote = server.remote("a.bin", b"right")
    path = fetch(remote, "set", "do this")
    path.write_bytes(b"wrong")
    assert fetch(remote, "set", "do this").read_bytes() == b"right"


def test_a_failed_download_is_tried_again(server, cache):
    remote = server.remote("a.bin", b"right")
    server.http.refusals = 1
    assert fetch(remote, "set", "do this").read_bytes() == b"right"
    assert server.http.requests == 2


def test_without_the_server_the_message_tells_what_to_do(server, cache, monkeypatch):
    dead = server.remote("cifar-10-python.tar.gz", b"")
    server.close()
    monkeypatch.setitem(DATASETS, "cifar-10", replace(DATASETS["cifar-10"], archive=dead))
    with pytest.raises(
        DataError, match=r"cifar-10: .* can't be downloaded .*ConnectionError.*cifar-10-batches-py.*--data DIR"
    ):
        load_dataset("cifar-10")
    assert files(cache) == []


def test_a_file_that_is_not_there(server, cache):
    missing = replace(server.remote("a.bin", b""), url=f"http://127.0.0.1:{server.http.server_port}/b.bin")
    with pytest.raises(DataError, match=r"b.bin can't be downloaded .*HTTPError"):
        fetch(missing, "set", "do this")


def test_a_cache_that_cannot_be_made(server, cache):
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match=r"can't be downloaded to .*cache \(\w+\); do this"):
        fetch(server.remote("a.bin", b"right"), "set", "do this")


def test_an_empty_variable_is_an_unset_one(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BITEXPERT_DATA", "")
    monkeypatch.setattr(module.pooch, "os_cache", lambda name: tmp_path / name)
    assert fetch(server.remote("a.bin", b"right"), "set", "do this") == tmp_path / "bitexpert/set/a.bin"
