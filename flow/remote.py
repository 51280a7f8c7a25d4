"""A board at the other end of an SSH connection: every failure is one error that says what to do."""

from __future__ import annotations

import errno
import logging
import re
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import BitexpertError
from ..sim.toolchain import ToolError

if TYPE_CHECKING:
    import paramiko

__all__ = ["Done", "Remote", "RemoteError", "Secret", "Target", "connect"]

#: Asks for a password or passphrase; gets what is asked for, in words.
Secret = Callable[[str], str]
# Seconds: to answer at all; without a byte while files are copied.
CONNECT_SECONDS = 10.0
COPY_SECONDS = 30.0
PORT = 22
_SILENCE = logging.NullHandler()


class RemoteError(BitexpertError):
    """A board that can't be reached, logged into or used."""


@dataclass(frozen=True)
class Target:
    """Where a board is and who logs in.

    Parameters
    ----------
    host : str
        Name or address.
    user : str
    port : int
    identity : Path, optional
        Private key; default: the agent's and those in ~/.ssh.
    known_hosts : Path, optional
        Host keys that are trusted; default: ~/.ssh/known_hosts.

    Raises
    ------
    RemoteError
        A name with characters that no host or user has.
    """

    host: str
    user: str = "xilinx"
    port: int = PORT
    identity: Path | None = None
    known_hosts: Path | None = None

    def __post_init__(self) -> None:
        for what, name, pattern in (("host", self.host, r"[\w.:%-]+"), ("user", self.user, r"[\w.-]+")):
            if name.startswith("-") or not re.fullmatch(pattern, name, re.ASCII):
                raise RemoteError(f"{name!r} is no name of a {what}; give --host NAME-OR-ADDRESS and --user NAME")

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != PORT else "")

    @property
    def trusted(self) -> Path:
        """File of the host keys that are trusted."""
        return self.known_hosts or Path.home() / ".ssh" / "known_hosts"

    @property
    def entry(self) -> str:
        """The host's name in that file."""
        return self.host if self.port == PORT else f"[{self.host}]:{self.port}"


@dataclass(frozen=True)
class Done:
    """What a command left.

    Parameters
    ----------
    status : int
        Its exit status; -1 if a signal ended it.
    output, errors : str
    """

    status: int
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """The last line that it wrote to stderr, or else to stdout."""
        lines = [line.strip() for text in (self.output, self.errors) for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.status}"


class Remote:
    """A board that is logged into; from `connect`.

    Parameters
    ----------
    client : paramiko.SSHClient
    target : Target
    password : str
        With which it was logged in; empty if by a key.
    """

    def __init__(self, client: paramiko.SSHClient, target: Target, password: str) -> None:
        self._client = client
        self.target = target
        self.password = password

    def run(self, command: str, *, timeout: float, stdin: str = "") -> Done:
        """Run a command line in the user's shell.

        Parameters
        ----------
        command : str
        timeout : float
            Seconds without a sign of life.
        stdin : str

        Raises
        ------
        RemoteError
            The connection was lost, or the time is over.
        """
        with self._connected("while a command was running"):
            transport = self._client.get_transport()
            if transport is None:
                raise EOFError
            channel = transport.open_session(timeout=CONNECT_SECONDS)
            try:
                channel.settimeout(timeout)
                channel.exec_command(command)
                with suppress(OSError):  # a command that has ended reads no more
                    channel.sendall(stdin.encode())
                    channel.shutdown_write()
                output, errors = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
                if not channel.status_event.wait(timeout):
                    raise TimeoutError
                status = channel.recv_exit_status()
                if status < 0 and not transport.is_active():
                    raise EOFError
            finally:
                channel.close()
        return Done(status, output.decode(errors="replace"), errors.decode(errors="replace"))

    def home(self) -> PurePosixPath:
        """The user's home."""
        with self._sftp("while it was asked for the home folder") as sftp:
            return PurePosixPath(sftp.normalize("."))

    def copy(self, files: Mapping[str, Path], folder: PurePosixPath, on_bytes: Callable[[int], object]) -> None:
        """Copy files into an existing folder.

        Parameters
        ----------
        files : mapping of str to Path
            Name there, which may have existing folders in it -> file here.
        folder : PurePosixPath
        on_bytes : callable
            Called with the number of bytes copied so far.

        Raises
        ------
        RemoteError
            The connection was lost, or the board can't write; what was copied until then stays.
        """
        before = 0
        with self._sftp("while the package was being copied") as sftp:
            for name, path in files.items():

                def count(sent: int, _size: int, before: int = before) -> None:
                    on_bytes(before + sent)

                try:
                    sftp.put(str(path), str(folder / name), count)
                except OSError as error:
                    if not self._alive() or isinstance(error, TimeoutError):
                        raise
                    raise RemoteError(
                        f"{name} can't be copied to {folder} on {self.target}: {error.strerror or error};"
                        " make room there (df -h), or choose another place with --folder"
                    ) from None
                before += path.stat().st_size

    def read(self, path: PurePosixPath) -> bytes | None:
        """Content of a file, or None if there is none."""
        with self._sftp("while the result was being fetched") as sftp:
            try:
                with sftp.open(str(path), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None
            except PermissionError:
                raise RemoteError(
                    f"{self.target.user} may not read {path} on {self.target.host}: chmod a+r there"
                ) from None

    def _alive(self) -> bool:
        transport = self._client.get_transport()
        return transport is not None and transport.is_active()

    @contextmanager
    def _sftp(self, when: str) -> Iterator[paramiko.SFTPClient]:
        with self._connected(when):
            try:
                sftp = self._client.open_sftp()
            except (EOFError, _paramiko().SSHException):
                if not self._alive():
                    raise
                raise RemoteError(
                    f"{self.target.host} copies no files; there: apt-get install openssh-sftp-server"
                ) from None
            try:
                channel = sftp.get_channel()
                if channel is not None:
                    channel.settimeout(COPY_SECONDS)
                yield sftp
            finally:
                sftp.close()

    @contextmanager
    def _connected(self, when: str) -> Iterator[None]:
        """Make one error of all the ways in which a connection breaks."""
        try:
            yield
        except TimeoutError:
            raise RemoteError(f"{self.target} has stopped answering {when}; check the board, then try again") from None
        except (EOFError, OSError, _paramiko().SSHException) as error:
            why = f" ({error})" if str(error) else ""
            raise RemoteError(
                f"the connection to {self.target} was lost {when}{why}; check the board and its cable, then try again"
            ) from None


@contextmanager
def connect(target: Target, secret: Secret) -> Iterator[Remote]:
    """Log in; the connection ends with the block.

    Parameters
    ----------
    target : Target
    secret : callable
        Asked for the password if no key is accepted, and for the passphrase of ``target.identity`` if it has one.

    Raises
    ------
    RemoteError
        The host can't be reached, its key isn't trusted, or it refuses the login.
    ToolError
        The package paramiko is missing.
    """
    client = _paramiko().SSHClient()
    try:
        _trust(client, target)
        yield Remote(client, target, _log_in(client, target, secret))
    finally:
        client.close()


def _paramiko() -> Any:
    try:
        import paramiko
    except ImportError:
        raise ToolError("deploy needs the Python package paramiko: pip install 'bitexpert[deploy]'") from None
    # without a handler, its errors go to stderr, with tracebacks
    logging.getLogger("paramiko").addHandler(_SILENCE)
    return paramiko


def _trust(client: paramiko.SSHClient, target: Target) -> None:
    """Let the client accept the host keys of known_hosts, and no other."""
    client.set_missing_host_key_policy(_Refuse(target))  # type: ignore[arg-type]
    try:
        if target.known_hosts is not None or target.trusted.exists():
            client.load_system_host_keys(str(target.trusted))
    except OSError as error:
        raise RemoteError(f"cannot read the host keys in {target.trusted}: {error.strerror or error}") from None


@dataclass(frozen=True)
class _Refuse:
    """What paramiko calls for a host that known_hosts doesn't have."""

    target: Target

    def missing_host_key(self, _client: object, _name: str, key: paramiko.PKey) -> None:
        trusted = self.target.trusted
        raise RemoteError(
            f"the key of {self.target.host} isn't in {trusted}: {key.get_name()} {key.fingerprint}; if that is the"
            f" board's (on its console: ssh-keygen -lf /etc/ssh/ssh_host_{_kind(key)}_key.pub), accept it:"
            f" {_scan(self.target)}"
        )


def _kind(key: paramiko.PKey) -> str:
    """A key's kind as in the names of the server's files."""
    name = key.get_name()
    return "ecdsa" if name.startswith("ecdsa") else name.removeprefix("ssh-")


def _scan(target: Target) -> str:
    file = shlex.quote(str(target.trusted))
    port = f"-p {target.port} " if target.port != PORT else ""
    return f"ssh-keyscan {port}{target.host} >> {file}"


def _log_in(client: paramiko.SSHClient, target: Target, secret: Secret) -> str:
    """By a key if one is accepted, else by the password, which is returned."""
    key = _identity(target.identity, secret) if target.identity else None
    own = target.identity is None
    if _dial(client, target, pkey=key, allow_agent=own, look_for_keys=own):
        return ""
    client.close()
    password = secret(f"password of {target}")
    if not _dial(client, target, password=password, allow_agent=False, look_for_keys=False):
        raise RemoteError(
            f"{target.host} refuses the login of {target.user}: no key was accepted, and the password isn't right or"
            f" none is taken; give another --user or --identity, or put your key there: ssh-copy-id {_ssh(target)}"
        )
    return password


def _ssh(target: Target) -> str:
    port = f"-p {target.port} " if target.port != PORT else ""
    return f"{port}{target.user}@{target.host}"


def _identity(path: Path, secret: Secret) -> paramiko.PKey:
    """A private key from a file."""
    p = _paramiko()
    words: bytes | None = None
    while True:
        try:
            return p.PKey.from_path(path, words)
        except OSError as error:
            raise RemoteError(f"cannot read the key {path}: {error.strerror or error}") from None
        except (ValueError, TypeError, p.SSHException, p.UnknownKeyType) as error:
            if words is not None or not isinstance(error, (TypeError, p.PasswordRequiredException)):
                raise RemoteError(
                    f"{path} is no private key that can be used (ed25519, ecdsa, rsa), or its passphrase is another one"
                ) from None
        words = secret(f"passphrase of {path}").encode()


def _dial(client: paramiko.SSHClient, target: Target, **login: Any) -> bool:
    """Connect; whether the login was accepted."""
    p = _paramiko()
    where = f"{target.host} at port {target.port}"
    try:
        client.connect(
            target.host,
            target.port,
            target.user,
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
            **login,
        )
    except p.BadHostKeyException as error:
        raise RemoteError(
            f"the key of {target.host} is another one than in {target.trusted}: {error.key.get_name()}"
            f" {error.key.fingerprint} instead of {error.expected_key.fingerprint}; nothing was sent. If the board"
            f" was set up anew, forget the old key and accept the new one: ssh-keygen -R {shlex.quote(target.entry)}"
            f" -f {shlex.quote(str(target.trusted))}; {_scan(target)}"
        ) from None
    except p.AuthenticationException:
        return False
    except (EOFError, OSError, p.SSHException) as error:
        transport = client.get_transport()
        if isinstance(error, p.SSHException) and transport is not None and transport.is_active():
            return False  # there was no key to try
        raise RemoteError(_why_unreachable(error, where)) from None
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(15)
    return True


def _why_unreachable(error: Exception, where: str) -> str:
    """What is in the way of a connection, and what to do."""
    several = getattr(error, "errors", None)  # one for each address of the host
    if isinstance(several, Mapping):
        error = next(iter(several.values()))
    if isinstance(error, socket.gaierror):
        return f"there is no host {where.split()[0]}; check the name, or give the board's address"
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refuses connections; check --port, and that the board's SSH server is running"
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return f"{where} doesn't answer; check that the board is on and in your network: ping {where.split()[0]}"
    return f"{where} doesn't talk SSH ({error}); check --host and --port"
