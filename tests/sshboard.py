"""A real SSH server on loopback that stands for a board: it runs commands in a shell of its own and speaks SFTP.

Its home is a temporary folder; ``python3`` there is this environment's Python with the stand-in for ``pynq``, and
``sudo`` a script that wants the password.
"""

import asyncio
import errno
import os
import shlex
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
from bitexpert.sim.board import VirtualBoard

__all__ = ["PASSWORD", "USER", "SshBoard"]

USER, PASSWORD = "xilinx", "correct horse 'battery'"

# As root's login shell does, sudo starts with the environment of /etc/profile and ~/.bash_profile.
SUDO = """#!/bin/bash
echo "$*" >> {home}/sudo.log
case "$1" in
-n)
    [ -e {home}/sudo.free ] || {{ echo "sudo: a password is required" >&2; exit 1; }}
    shift; [ "$1" = -- ] && shift ;;
-k)
    IFS= read -r given
    [ "$given" = {password} ] || {{ echo "sudo: 1 incorrect password attempt" >&2; exit 1; }}
    shift 5 ;;
esac
exec env -i HOME={home} BOARD_ROOT=1 PATH=/usr/bin:/bin "$@"
"""
PYTHON = """#!/bin/bash
[ -n "$BOARD_ROOT" ] || {{ echo "python3 was started without root" >&2; exit 9; }}
exec {python} "$@"
"""


@dataclass
class SshBoard:
    """The board and its server; a context manager.

    Parameters
    ----------
    home : Path
        An empty folder: the user's home.
    virtual : VirtualBoard
        Behind its ``pynq``.
    """

    home: Path
    virtual: VirtualBoard
    #: Bytes that are written by SFTP until something happens to the next.
    room: float = float("inf")
    #: What happens then: "lose" the connection, "full" is the disk, "hang".
    when_full: str = "full"
    #: Held while the server hangs; set when it has begun to.
    hanging: threading.Event = field(default_factory=threading.Event)
    passwords: bool = True
    files: bool = True
    #: A command with these words in it loses the connection.
    losing: str = ""
    #: Names that tried to log in with a password.
    logins: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.authorized: list[asyncssh.SSHKey] = []
        (self.home / "bin").mkdir(parents=True)
        self.program("python3", PYTHON.format(python=shlex.quote(sys.executable)))
        self.program("sudo", SUDO.format(home=shlex.quote(str(self.home)), password=shlex.quote(PASSWORD)))
        self.program("id", "#!/bin/sh\necho 1000\n")
        self.has(self.virtual)

    def program(self, name: str, text: str) -> None:
        """Put a script on the board's path."""
        path = self.home / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def has(self, virtual: VirtualBoard, **variables: str) -> None:
        """Set what /etc/profile.d sets on a board: the path, and here the virtual board."""
        told = {"BOARD": "Virtual", **virtual.environment(self.home / "virtual.json"), **variables}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in told.items()]
        lines.append(f'export PATH="{self.home / "bin"}:$PATH"')
        (self.home / ".bash_profile").write_text("\n".join(lines) + "\n")

    # -- the server ---------------------------------------------------------------------------------------
    def __enter__(self) -> "SshBoard":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            await self._server.wait_closed()

        self._do(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        board = self

        class Server(asyncssh.SSHServer):
            def begin_auth(self, username):
                return True

            def public_key_auth_supported(self):
                return True

            def validate_public_key(self, username, key):
                return username == USER and key in board.authorized

            def password_auth_supported(self):
                return board.passwords

            def validate_password(self, username, password):
                board.logins.append(username)
                return (username, password) == (USER, PASSWORD)

        class Files(asyncssh.SFTPServer):
            def map_path(self, path):
                return os.path.join(os.fsencode(board.home), path)

            def realpath(self, path):
                return os.path.realpath(self.map_path(path))

            async def write(self, file_obj, offset, data):
                board.room -= len(data)
                if board.room < 0:
                    if board.when_full == "lose":
                        self.channel.get_connection().abort()
                    elif board.when_full == "hang":
                        board.hanging.set()
                        await asyncio.sleep(60)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(file_obj, offset, data)

        self._server = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=Server,
            server_host_keys=[self.key],
            process_factory=self._run,
            sftp_factory=Files if self.files else None,
            encoding=None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _run(self, process: asyncssh.SSHServerProcess) -> None:
        """One command, in a shell that isn't a login shell."""
        if self.losing and self.losing in process.command:
            process.channel.get_connection().abort()
            return
        child = subprocess.Popen(
            ["/bin/sh", "-c", process.command],
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": f"{self.home / 'bin'}:/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        status = await asyncio.to_thread(child.wait)
        await process.stdout.drain()
        await process.stderr.drain()
        process.exit(status)
        await process.wait_closed()

    def known_hosts(self, path: Path, key: asyncssh.SSHKey | None = None) -> Path:
        """Write a file of host keys with this board's, or another one."""
        public = (key or self.key).export_public_key().decode().strip()
        path.write_text(f"[127.0.0.1]:{self.port} {public}\n")
        return path


def closed_port() -> int:
    """A port on loopback where nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
