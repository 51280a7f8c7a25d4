"""`bitexpert deploy` to a real SSH server on loopback, behind which the package's programs run on the virtual board."""

import errno
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import asyncssh
import bitexpert
import numpy as np
import pytest
from bitexpert.flow import remote
from bitexpert.flow.build import open_build
from bitexpert.flow.cli import main
from bitexpert.flow.remote import RemoteError, Target, connect
from bitexpert.sim.board import PACKAGE, BoardFault, VirtualBoard, build_board
from sshboard import PASSWORD, USER, SshBoard, closed_port


@pytest.fixture(scope="module")
def virtual(tiny_build, tmp_path_factory):
    work = tmp_path_factory.mktemp("board")
    return VirtualBoard(build_board(tiny_build / "rtl", tiny_build / "shell", work), tiny_build / "rtl")


@pytest.fixture(autouse=True)
def client_home(tmp_path, monkeypatch):
    """The user's home on the PC: no keys, no agent, no known hosts."""
    home = tmp_path / "client"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def board(tmp_path, virtual, client_home):
    """A board that the client knows."""
    with SshBoard(tmp_path / "xilinx", virtual) as board:
        board.known_hosts(client_home / ".ssh" / "known_hosts")
        yield board


@pytest.fixture
def build(own_build, virtual):
    """A build with its bitfile."""
    virtual.prepare(own_build / "deploy")
    return own_build


@pytest.fixture
def run(build, capsys, monkeypatch):
    """Run deploy in this process: (exit status, stdout, stderr). The password is given and must never be seen."""

    def go(port, *words, stdin=f"{PASSWORD}\n{PASSWORD}\n", host="127.0.0.1") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        words = ["deploy", build, "--host", host, "--port", port, "--password-stdin", *words]
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        told = [out, err, *(p.read_text("latin-1") for p in build.rglob("*") if p.is_file())]
        assert not any(PASSWORD in text for text in told)
        return status, out, err

    return go


@pytest.fixture
def refused(run):
    """Run a deploy that must fail with one line; return it."""

    def go(port, *words, status=2, **settings) -> str:
        found, _, err = run(port, *words, **settings)
        assert err.count("\n") == 1, err
        assert err.startswith("error: ")
        assert found == status, err
        assert "internal error" not in err
        return err

    return go


def package(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def works(board, folder) -> None:
    """Whether a package on the board validates."""
    done = board.virtual.run(folder, ["-B", "-m", "bitexpert_accelerator.validate"], timeout=100)
    assert done.returncode == 0, done.stderr


# -- the way --------------------------------------------------------------------------------------------
def test_the_board_sends_what_the_network_computes(run, board, build):
    status, out, err = run(board.port)
    assert (status, err) == (0, "")
    place = board.home / "bitexpert" / build.name
    lines = out.splitlines()
    assert re.fullmatch(rf"{USER}@127.0.0.1:{board.port}: Virtual, Python 3\S+, pynq 3.1.2, .* free", lines[0])
    assert re.fullmatch(rf"  copied      15 files, \S+ kB to {place}", lines[1])
    assert re.fullmatch(r"  board       equal  (\d+) samples, \S+ s", lines[2])
    count = len(np.load(build / "deploy" / PACKAGE / "golden" / "input.npy"))
    assert lines[3] == f"0 mismatches: the board sends what the network computes, on {count} samples"

    there = package(place)
    assert json.loads(there.pop("validation.json"))["mismatches"] == 0
    assert there == package(build / "deploy")
    assert [p.name for p in place.parent.iterdir()] == [place.name]

    log = (board.home / "sudo.log").read_text()
    assert "bitexpert_accelerator.validate" in log
    assert PASSWORD not in log
    found = json.loads((build / "verification" / "board.json").read_text())
    assert found["source"] == "validate on the board"
    assert (found["golden_frames"], found["mismatches"], found["faults"]) == (count, 0, [])
    assert found["design_hash"] == json.loads((build / "deploy" / PACKAGE / "shell.json").read_text())["design_hash"]
    assert found["board"]["pynq"] == "3.1.2"


def test_the_earlier_package_is_kept_once(run, board, build):
    place = board.home / "elsewhere" / "net 1"
    for text in ("one", "two", "three"):
        (build / "deploy" / PACKAGE / "accelerator.hwh").write_text(text)
        status, out, _ = run(board.port, "--folder", "elsewhere/net 1", "--json")
        assert status == 0
        assert json.loads(out)["place"] == str(place)
    assert (place / PACKAGE / "accelerator.hwh").read_text() == "three"
    assert json.loads(out)["earlier"] == f"{place}.earlier"
    assert (place.parent / "net 1.earlier" / PACKAGE / "accelerator.hwh").read_text() == "two"
    assert len(list(place.parent.iterdir())) == 2
    assert not list(place.rglob("__pycache__"))  # root's files would stand in the user's way


def test_labelled_images(run, refused, board, build, tmp_path):
    images, labels = tmp_path / "x.npy", tmp_path / "y.npy"
    frames = np.load(build / "deploy" / PACKAGE / "golden" / "input.npy")
    graph = open_build(build).graph
    classes = graph.run(frames.astype(np.int64))[graph.outputs[0]].reshape(len(frames), -1).argmax(1)
    classes[:3] = (classes[:3] + 1) % 3
    np.save(images, frames.transpose(0, 3, 1, 2))
    np.save(labels, classes)
    words = ("--images", images, "--labels", labels)
    status, out, _ = run(board.port, *words, "--json")
    assert status == 0
    assert json.loads(out)["accuracy"] == pytest.approx(1 - 3 / len(frames))
    assert json.loads(out)["images"] == len(frames)

    assert "give both or none" in refused(board.port, *words[:2])
    np.save(labels, classes[1:])
    assert f"must hold one integer for each of the {len(frames)} images" in refused(board.port, *words)
    np.save(images, frames[:, :-1])
    assert "has shape" in refused(board.port, *words)


def test_scores_that_validate_cannot_rank_are_refused(refused, board, build, tmp_path, monkeypatch):
    from bitexpert.flow.deploy import OutputForm

    images, labels = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(images, np.load(build / "deploy" / PACKAGE / "golden" / "input.npy"))
    np.save(labels, np.zeros(len(np.load(images)), np.int64))
    form = OutputForm(np.array([1.0, 2.0, 1.0]), np.zeros(1))
    monkeypatch.setattr(OutputForm, "of", staticmethod(lambda model: form))
    line = refused(board.port, "--images", images, "--labels", labels)
    assert "its scores have several scales" in line


def test_the_python_api(board, build):
    result = bitexpert.deploy(build, "127.0.0.1", port=board.port, password=PASSWORD)
    assert result.equal
    assert result.board.pynq == "3.1.2"
    with pytest.raises(RemoteError, match=r"the password of .* is needed"):
        bitexpert.deploy(build, "127.0.0.1", port=board.port)


def test_mismatches_are_status_1(run, board, build):
    golden = build / "deploy" / PACKAGE / "golden" / "output.npy"
    values = np.load(golden)
    values[5, 0, 0, 1] += 2
    values[7, 0, 0, 0] -= 1
    np.save(golden, values)
    status, out, err = run(board.port)
    assert (status, err) == (1, "")
    assert "  board       2 mismatches  " in out
    wanted = int(values[5, 0, 0, 1])
    assert f"first at frame 5, row 0, column 0, channel 1: expected {wanted}, found {wanted - 2}" in out
    assert "the board isn't equal to the network" in out
    assert json.loads((build / "verification" / "board.json").read_text())["mismatches"] == 2


# -- what is here ---------------------------------------------------------------------------------------
def test_a_build_without_its_bitfile(refused, build):
    port = closed_port()
    for name in ("accelerator.hwh", "accelerator.bit"):
        (build / "deploy" / PACKAGE / name).unlink()
        line = refused(port)
        assert (
            f"deploy/{PACKAGE} has no {'accelerator.bit and no ' * (name == 'accelerator.bit')}accelerator.hwh" in line
        )
        assert f"run `make bitstream` in {build / 'vivado'}" in line


def test_an_old_bitfile(refused, build):
    design = max(p.stat().st_mtime for p in (build / "rtl").iterdir())
    os.utime(build / "deploy" / PACKAGE / "accelerator.bit", (design - 10, design - 10))
    line = refused(closed_port())
    assert "accelerator.bit is older than the design" in line
    assert "make bitstream" in line


def test_a_build_that_is_not_whole(refused, build):
    (build / "deploy" / PACKAGE / "golden" / "output.npy").unlink()
    assert "deploy lacks bitexpert_accelerator/golden/output.npy; run `bitexpert build` again" in refused(closed_port())
    shutil.rmtree(build / "rtl")
    assert "lacks rtl; run `bitexpert build` again" in refused(closed_port())


def test_without_paramiko(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "paramiko", None)
    assert "pip install 'bitexpert[deploy]'" in refused(closed_port(), status=3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--timeout", "0"), "a number of seconds above 0"),
        (("--folder", "x/.."), "names no folder of its own"),
        (("--folder", "/"), "names no folder of its own"),
        (("--user", "-oProxyCommand=x"), "is no name of a user"),
        (("--user", "a b"), "is no name of a user"),
    ],
)
def test_wrong_words(refused, board, words, message):
    assert message in refused(board.port, *words)


# -- reaching it ----------------------------------------------------------------------------------------
def test_hosts_that_cannot_be_reached(refused):
    assert "there is no host no-such-board.invalid; check the name" in refused(22, host="no-such-board.invalid")
    port = closed_port()
    assert f"127.0.0.1 at port {port} refuses connections; check --port" in refused(port)
    assert "is no name of a host" in refused(22, host="$(reboot)")
    for error in (TimeoutError(), OSError(errno.EHOSTUNREACH, "No route to host")):
        assert "h at port 22 doesn't answer; check that the board is on" in remote._why_unreachable(
            error, "h at port 22"
        )


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_server_that_talks_no_ssh(refused, words):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            peer, _ = listener.accept()
            with peer:
                peer.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        line = refused(listener.getsockname()[1])
        thread.join()
    assert "doesn't talk SSH" in line
    assert "check --host and --port" in line


# -- host keys ------------------------------------------------------------------------------------------
def test_an_unknown_host_key_is_refused(refused, run, board, client_home):
    known = client_home / ".ssh" / "known_hosts"
    known.unlink()
    line = refused(board.port)
    assert f"the key of 127.0.0.1 isn't in {known}: ssh-ed25519 {board.key.get_fingerprint()}" in line
    assert f"ssh-keyscan -p {board.port} 127.0.0.1 >> {known}" in line
    assert board.logins == []
    assert list(board.home.glob("bitexpert")) == []

    other = board.known_hosts(client_home / "board's key")
    assert run(board.port, "--known-hosts", other)[0] == 0
    assert not known.exists()
    assert "cannot read the host keys in" in refused(board.port, "--known-hosts", client_home / "nowhere")


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_changed_host_key_is_refused(refused, board, client_home, kind):
    known = client_home / ".ssh" / "known_hosts"
    earlier = asyncssh.generate_private_key(kind)
    board.known_hosts(known, earlier)
    line = refused(board.port)
    assert "is another one than in" in line
    assert f"ssh-ed25519 {board.key.get_fingerprint()} instead of {earlier.get_fingerprint()}; nothing was sent" in line
    assert f"ssh-keygen -R '[127.0.0.1]:{board.port}' -f {known}" in line
    assert board.logins == []


# -- login ----------------------------------------------------------------------------------------------
def test_a_wrong_password(run, refused, board):
    line = refused(board.port, stdin="wrong horse\n")
    assert "127.0.0.1 refuses the login of xilinx" in line
    assert f"ssh-copy-id -p {board.port} xilinx@127.0.0.1" in line
    assert "wrong horse" not in line
    status, _, err = run(board.port, "--user", "root", "--debug")  # a traceback tells no password either
    assert status == 2
    assert err.startswith("Traceback")
    assert "refuses the login of root" in err
    board.passwords = False
    assert "refuses the login of xilinx" in refused(board.port)
    assert "stdin has no line left for it" in refused(board.port, stdin="")


def test_the_password_is_asked_for_on_the_terminal(board, build, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("bitexpert.flow.cli_deploy.getpass", lambda text: asked.append(text) or PASSWORD)
    words = ["deploy", str(build), "--host", "127.0.0.1", "--port", str(board.port)]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    assert main(words) == 2
    line = capsys.readouterr().err
    assert "there is no terminal to ask on; give it with --password-stdin" in line
    assert (asked, PASSWORD in line) == ([], False)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert main(words) == 0
    assert asked == [f"Password of xilinx@127.0.0.1:{board.port}: "]  # sudo takes the same
    assert PASSWORD not in "".join(capsys.readouterr())


def test_keys(board, client_home):
    key = asyncssh.generate_private_key("ssh-ed25519")
    board.authorized.append(key.convert_to_public())
    plain, locked, other, text = (client_home / name for name in ("plain", "locked", "other", "text"))
    key.write_private_key(plain)
    key.write_private_key(locked, passphrase="open sesame", rounds=50)  # as few as bcrypt takes without a warning
    # paramiko reads only half of the ECDSA keys that asyncssh writes in OpenSSH's format
    asyncssh.generate_private_key("ecdsa-sha2-nistp256").write_private_key(other, "pkcs1-pem")
    text.write_text("no key")
    asked = []

    def log_in(identity, *answers):
        """What was asked for; the answers are given."""
        asked.clear()
        left = list(answers)
        target = Target("127.0.0.1", USER, board.port, identity)
        with connect(target, lambda what: asked.append(what) or left.pop(0)) as board_there:
            assert board_there.run("id -u", timeout=30).output == "1000\n"
        return asked

    assert log_in(plain) == []
    assert log_in(locked, "open sesame") == [f"passphrase of {locked}"]
    assert log_in(other, PASSWORD) == [f"password of xilinx@127.0.0.1:{board.port}"]
    for identity, answers, message in (
        (locked, ["open oats"], "locked is no private key that can be used .ed25519, ecdsa, rsa., or its passphrase"),
        (text, [], "text is no private key that can be used"),
        (client_home / "none", [], "cannot read the key .*none: No such file"),
    ):
        with pytest.raises(RemoteError, match=message) as caught:
            log_in(identity, *answers)
        assert "open oats" not in str(caught.value)
    shutil.copy(plain, client_home / ".ssh" / "id_ed25519")
    assert log_in(None) == []
    assert board.logins == [USER]


def test_root(run, refused, board, build):
    line = refused(board.port, stdin="")
    assert "password of xilinx" in line
    key = asyncssh.generate_private_key("ssh-ed25519")
    board.authorized.append(key.convert_to_public())
    identity = board.home.parent / "identity"
    key.write_private_key(identity)
    line = refused(board.port, "--identity", identity, stdin="wrong horse\n")
    assert "sudo on 127.0.0.1 refuses xilinx: sudo: 1 incorrect password attempt; let the user in" in line
    assert "log in as root: --user root" in line
    assert "wrong horse" not in line
    assert run(board.port, "--identity", identity)[0] == 0

    (board.home / "sudo.log").unlink()
    board.program("id", "#!/bin/sh\necho 0\n")
    board.has(board.virtual, BOARD_ROOT="1")
    assert run(board.port, "--identity", identity, stdin="")[0] == 0
    assert not (board.home / "sudo.log").exists()


# -- what the board has ---------------------------------------------------------------------------------
def stub(board, name: str, text: str) -> None:
    """A Python module that the board finds before all others."""
    folder = board.home / "stubs"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    path = board.virtual.environment(board.home / "virtual.json")["PYTHONPATH"]
    board.has(board.virtual, PYTHONPATH=f"{folder}:{path}")


def test_boards_that_cannot_run_it(refused, board):
    def nothing_was_copied():
        return not (board.home / "bitexpert").exists()

    board.has(board.virtual, PYTHONPATH="")
    line = refused(board.port)
    assert "Python on 127.0.0.1 can't import pynq (ModuleNotFoundError: No module named 'pynq')" in line
    assert nothing_was_copied()

    stub(board, "pynq", "__version__ = '2.6.2'\n")
    assert "127.0.0.1 has pynq 2.6.2, the driver needs 2.7" in refused(board.port)

    (board.home / "stubs" / "pynq.py").unlink()
    text = "import shutil\nshutil.disk_usage = lambda path: shutil._ntuple_diskusage(9, 9, 4_000_500)\n"
    stub(board, "sitecustomize", text)
    assert "127.0.0.1 has 4.0 MB free, the package needs 4.0 MB; make room there" in refused(board.port)

    told = json.dumps({"python": [3, 6, 9], "pynq": "2.7.0"})
    board.program("python3", f"#!/bin/sh\necho '{told}'\n")
    assert "127.0.0.1 has Python 3.6.9, the driver needs 3.8" in refused(board.port)

    board.program("python3", "#!/bin/sh\necho 'bash: python3: command not found' >&2\nexit 127\n")
    assert "127.0.0.1 has no python3 (bash: python3: command not found)" in refused(board.port)
    board.program("python3", "#!/bin/sh\necho Welcome\n")
    assert "python3 on 127.0.0.1 gives no answer; is it a PYNQ board?" in refused(board.port)
    assert nothing_was_copied()


def test_other_peoples_folders_are_left_alone(refused, run, board):
    for name in ("work", "net.earlier"):
        (board.home / name).mkdir()
        (board.home / name / "thesis.txt").write_text("mine")
    (board.home / "file").write_text("mine")
    before = package(board.home)
    for place, named in (("work", "work"), ("file", "file"), ("net", "net.earlier"), (board.home, "xilinx")):
        line = refused(board.port, "--folder", place)
        assert f"{named} on 127.0.0.1 isn't a package of bitexpert's; choose another place" in line
    assert "can't write there: mkdir: " in refused(board.port, "--folder", "/dev/null/x")
    after = package(board.home)
    after["sudo.log"] = before["sudo.log"] = b""
    assert after == before
    (board.home / "empty").mkdir()
    assert run(board.port, "--folder", "empty")[0] == 0


# -- what happens there ---------------------------------------------------------------------------------
def test_another_designs_bitfile(refused, board, virtual, build):
    board.has(replace(virtual, fault=BoardFault.WRONG_HASH))
    line = refused(board.port)
    assert "validate on 127.0.0.1: the bitfile is of another design: its hash is" in line
    assert "build the bitfile again" in line
    assert not (build / "verification" / "board.json").exists()


def test_a_validation_that_does_not_end(refused, board, build):
    (build / "deploy" / PACKAGE / "validate.py").write_text("import time\nprint('busy')\ntime.sleep(60)\n")
    line = refused(board.port, "--timeout", "0.7")
    assert "validate on 127.0.0.1 didn't end within 0.7 s; give it longer (--timeout)" in line


@pytest.mark.parametrize("ending", ["raise RuntimeError('Root permissions required')", "import os; os.abort()"])
def test_a_validation_that_fails_is_a_tools_error(refused, board, build, ending):
    (build / "deploy" / PACKAGE / "validate.py").write_text(f"{ending}\n")
    line = refused(board.port, status=3)
    assert "validate on 127.0.0.1 failed: " in line
    if "Root" in ending:
        assert "RuntimeError: Root permissions required; to see it, there: sudo -i" in line


# -- what breaks on the way -----------------------------------------------------------------------------
@pytest.fixture
def deployed(run, board, build):
    """A package that works on the board; the next one differs."""
    assert run(board.port)[0] == 0
    place = board.home / "bitexpert" / build.name
    before = package(place)
    (build / "deploy" / PACKAGE / "accelerator.bit").write_bytes(bytes(500_000))

    def unchanged():
        assert package(place) == before
        assert not place.with_name(place.name + ".earlier").exists()
        works(board, place)
        (place / "board.json").unlink()  # of the virtual board
        return place

    return unchanged


@pytest.mark.parametrize(
    ("when_full", "message"),
    [
        ("lose", "was lost while the package was being copied"),
        ("full", "accelerator.bit can't be copied to "),
    ],
)
def test_a_copy_that_breaks_leaves_the_old_package(refused, run, board, deployed, when_full, message):
    board.room, board.when_full = 200_000, when_full
    assert message in refused(board.port)
    place = deployed()
    assert (place.with_name(f".{place.name}.part") / PACKAGE / "shell.json").exists()
    board.room = float("inf")
    assert run(board.port)[0] == 0
    assert (place / PACKAGE / "accelerator.bit").stat().st_size == 500_000
    assert not place.with_name(f".{place.name}.part").exists()


def test_a_board_that_falls_silent(refused, board, deployed, monkeypatch):
    monkeypatch.setattr(remote, "COPY_SECONDS", 0.5)
    board.room, board.when_full = 200_000, "hang"
    assert "has stopped answering while the package was being copied" in refused(board.port)
    deployed()


def test_a_killed_copy_leaves_the_old_package(run, board, build, deployed):
    board.room, board.when_full = 200_000, "hang"
    words = ["deploy", str(build), "--host", "127.0.0.1", "--port", str(board.port), "--password-stdin"]
    program = "import sys; from bitexpert.flow.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", program, *words], stdin=subprocess.PIPE, text=True) as client:
        client.stdin.write(f"{PASSWORD}\n")
        client.stdin.flush()
        assert board.hanging.wait(100)
        assert PASSWORD not in (
            subprocess.run(["ps", "-o", "args=", "-p", str(client.pid)], capture_output=True, text=True).stdout
        )
        client.send_signal(signal.SIGKILL)
    assert client.returncode == -signal.SIGKILL
    deployed()
    board.room = float("inf")
    assert run(board.port)[0] == 0


@pytest.mark.parametrize("command", ["id -u", " look ", " swap ", "accelerator.validate"])
def test_a_connection_that_breaks_in_a_command(refused, board, command):
    board.losing = command
    assert "was lost while a command was running" in refused(board.port)


def test_a_server_without_sftp(build, run, board):
    with SshBoard(board.home.parent / "bare", board.virtual, files=False) as bare:
        known = bare.known_hosts(bare.home / "known")
        status, _, err = run(bare.port, "--known-hosts", known)
    assert status == 2
    assert "127.0.0.1 copies no files; there: apt-get install openssh-sftp-server" in err


def test_names_of_hosts():
    for good in ("pynq", "192.168.2.99", "fe80::1%eth0", "board.lab.example"):
        assert Target(good).host == good
    for bad in ("", "-x", "a b", "a;b", "a\nb", "übung"):
        with pytest.raises(RemoteError, match="is no name of a host"):
            Target(bad)
