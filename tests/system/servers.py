"""Real servers and clients: each server on a free port of its own, with its files in a temporary
folder, gone at the end of the test or of the module that asked for it."""

import contextlib
import glob
import hashlib
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

import support

# Where Debian and Fedora keep what stands in no search path of a user.
FOLDERS = ["/usr/sbin", "/sbin", "/usr/libexec/openssh", "/usr/lib/openssh",
           *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]


def program(name):
    """The path of a program that ./bootstrap installs; CI counts a skipped test as failed."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS]))
    if path is None:
        pytest.skip(f"{name} is not installed: run ./bootstrap")
    return path


def client(*command, seconds=support.PATIENCE * 3, data=None, env=None, **options):
    """Runs a client to its end, which must be a good one; returns what it printed, as bytes."""
    if data is None:
        options.setdefault("stdin", subprocess.DEVNULL)
    result = subprocess.run([program(command[0]), *command[1:]], input=data, capture_output=True,
                            timeout=seconds, env={**os.environ, "LC_ALL": "C", **(env or {})},
                            check=False, **options)
    text = (result.stdout[-2000:] + result.stderr[-2000:]).decode("utf-8", "backslashreplace")
    assert result.returncode == 0, f"{command[0]}: exit status {result.returncode}\n{text}"
    return result.stdout


def file_digest(path):
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_sockets(pid):
    """The inodes of a process's sockets."""
    inodes = set()
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        with contextlib.suppress(OSError):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd))
            if match:
                inodes.add(match[1])
    return inodes


def listens(pid, where):
    """Whether a process itself accepts connections at a TCP port, or at a unix socket's path."""
    found = set()
    if isinstance(where, int):
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
                next(file)
                # Those that listen stand first; what has been closed lately may be 100,000 lines.
                for row in itertools.takewhile(lambda row: row[3] == "0A", map(str.split, file)):
                    if int(row[1].rpartition(":")[2], 16) == where:
                        found.add(row[9])
    else:
        with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="replace") as file:
            for row in map(str.split, file):
                if row[7:] == [where] and int(row[3], 16) & 1 << 16:
                    found.add(row[6])
    return bool(found & open_sockets(pid))


class Server:
    """A server program that runs in the foreground, in a folder of its own."""

    def __init__(self, user=None):
        self.user = user if os.geteuid() == 0 else None
        self.directory = tempfile.mkdtemp(prefix="twined-")
        self.port = None
        self.command = None
        self.places = []
        self.process = None
        self.stop_signal = signal.SIGTERM
        if self.user:
            os.chmod(self.directory, 0o711)
            shutil.chown(self.directory, self.user)

    def path(self, name):
        return os.path.join(self.directory, name)

    def address(self, socket_name=None):
        """Its address as an upstream: the TCP one, or that of a unix socket in its folder."""
        if socket_name:
            return f"unix://{self.path(socket_name)}"
        return f"tcp://127.0.0.1:{self.port}"

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        if self.user:
            shutil.chown(self.path(name), self.user)
        return self.path(name)

    def identity(self):
        """Options of subprocess: who runs it."""
        if not self.user:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def run(self, *command, **options):
        """Runs a program to its end, as the server's user."""
        return client(*command, cwd=self.directory, **self.identity(), **options)

    def start(self, command, *socket_names, tcp=True):
        """
        Starts command(server), whose server.port nobody used a moment ago, until it itself accepts
        there and at all its unix sockets: on another port, when someone else was faster.
        """
        self.command = command
        self.places = [self.path(name) for name in socket_names]
        for _ in range(5):
            self.port = int(support.free_address().rpartition(":")[2]) if tcp else None
            if self.start_again():
                return self
        raise AssertionError(f"it does not start:\n{self.output()}")

    def start_again(self):
        """Starts it where it was; false when it ends at once."""
        name, *arguments = self.command(self)
        with open(self.path("output"), "wb") as output:
            self.process = subprocess.Popen(
                [program(name), *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.directory, start_new_session=True, env={**os.environ, "LC_ALL": "C"},
                **self.identity())
        support.wait_for(lambda: self.process.poll() is not None or self.accepts(),
                         f"{name} accepts connections", 3 * support.PATIENCE)
        return self.process.poll() is None

    def accepts(self):
        """Whether it can be connected to at all its addresses."""
        places = self.places + ([] if self.port is None else [self.port])
        try:
            return all(listens(self.process.pid, place) for place in places)
        except FileNotFoundError:
            return False		# it ends

    def output(self):
        with open(self.path("output"), encoding="utf-8", errors="backslashreplace") as file:
            return file.read()[-4000:]

    def kill(self):
        """Ends it and all that it has started, at once and without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(support.PATIENCE)

    def stop(self):
        """Ends it in order, or else by force, and removes its folder."""
        try:
            if self.process and self.process.poll() is None:
                self.process.send_signal(self.stop_signal)
                try:
                    self.process.wait(support.PATIENCE)
                finally:
                    self.kill()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def serving():
    """Gives what makes a Server; all of them are stopped at the end."""
    started = []

    def make(user=None):
        started.append(Server(user))
        return started[-1]
    try:
        yield make
    finally:
        for one in reversed(started):
            one.stop()


@pytest.fixture
def real_server():
    """Makes servers: real_server().start(lambda server: [program, argument...])."""
    with serving() as make:
        yield make


@pytest.fixture(scope="module")
def module_real_server():
    """Makes servers that all tests of a module share."""
    with serving() as make:
        yield make


@pytest.fixture
def forward(twined):
    """Starts a proxy to an upstream, on TCP and on unix sockets at paths: the listener "web"."""
    def start(upstream, *paths, **keys):
        listen = ", ".join(["tcp://127.0.0.1:0", *(f"unix://{path}" for path in paths)])
        return twined(support.listener("web", "proxy", listen, upstream=upstream, **keys))
    return start
