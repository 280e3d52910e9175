"""twined.service as it is installed, under the systemd that run.sh has booted."""

import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import pytest

UNIT = "twined.service"
INI = pathlib.Path(os.environ["TWINED_INI"])
UNITS = pathlib.Path("/run/systemd/system")
DEADLINE_S = 60


def systemctl(*args, check=True):
    result = subprocess.run(["systemctl", *args], capture_output=True, text=True, timeout=60)
    if check and result.returncode != 0:
        raise AssertionError(f"systemctl {' '.join(args)}: {result.stderr}\n{journal_text()}")
    return result


def journal_text():
    return subprocess.run(["journalctl", "--no-pager", "-b", "-n", "30", "-u", UNIT],
                          capture_output=True, text=True).stdout


def wait_until(condition, what):
    """Waits for a condition to hold; returns its value."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {DEADLINE_S} s for: {what}\n{journal_text()}")
        threading.Event().wait(0.01)


class Service:
    """The unit, and a configuration that begins empty."""

    def __init__(self):
        systemctl("stop", UNIT, "twined*.socket", check=False)
        systemctl("reset-failed", check=False)
        for path in UNITS.glob("twined*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        systemctl("daemon-reload")
        subprocess.run(["journalctl", "--sync"], check=True)
        newest = subprocess.run(["journalctl", "-n", "1", "-o", "json"], capture_output=True,
                                text=True,
                                check=True).stdout
        self.cursor = json.loads(newest)["__CURSOR"]

    def configure(self, text):
        """Replaces twined.ini; returns the number of the last line."""
        new = INI.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o644)
        new.rename(INI)
        return len(text.splitlines())

    def drop_in(self, text):
        folder = UNITS / f"{UNIT}.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test.conf").write_text(text)
        systemctl("daemon-reload")

    def socket_unit(self, name, text):
        UNITS.mkdir(parents=True, exist_ok=True)
        (UNITS / name).write_text(text)
        systemctl("daemon-reload")
        systemctl("start", name)

    def start(self, text=None):
        if text is not None:
            self.configure(text)
        systemctl("start", UNIT)

    def stop(self):
        systemctl("stop", UNIT)

    def reload(self, check=True):
        return systemctl("reload", UNIT, check=check)

    def show(self, name):
        return systemctl("show", "-P", name, UNIT).stdout.rstrip("\n")

    @property
    def pid(self):
        return int(self.show("MainPID"))

    def journal(self, **fields):
        """
        What twined itself has logged since the test began: the entries that have these
        fields.
        """
        subprocess.run(["journalctl", "--sync"], check=True)
        lines = subprocess.run(["journalctl", "-o", "json", "--after-cursor", self.cursor, "-u",
                                UNIT],
                               capture_output=True, text=True, check=True).stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries
                if entry.get("_COMM", "") != "systemd"
                and all(entry.get(name) == value for name, value in fields.items())]

    def wait_for_line(self, *words, **fields):
        """Waits for a log line with all the words; returns its entry."""
        return wait_until(
            lambda: next((entry for entry in self.journal(**fields)
                          if all(word in entry["MESSAGE"] for word in words)), None),
            f"a log line with {words} {fields}")

    def wait_restarted(self, old_pid):
        def restarted():
            pid = self.pid
            return pid not in (0, old_pid) and self.show("ActiveState") == "active" and pid
        return wait_until(restarted, "the service to be back")


@pytest.fixture
def service():
    service = Service()
    yield service
    systemctl("stop", UNIT, "twined*.socket", check=False)


def connect(address):
    """A stream connection to ("127.0.0.1", 7) or to a unix path."""
    client = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    client.settimeout(DEADLINE_S)
    client.connect(address)
    return client


def read_all(client):
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def echo(address, text=b"hi\n"):
    """What comes back when a client says so much and then ends its side."""
    with connect(address) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def ask(address, text=b"hi\n"):
    """The answer to one datagram."""
    kind = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(kind, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE_S)
        client.bind(("127.0.0.1",
                     0) if kind == socket.AF_INET else f"\0client-{os.getpid()}-{id(client)}")
        client.sendto(text, address)
        return client.recv(65536)


class Freeze:
    """One thread of a process stands still, as a debugger would hold it; the others go on."""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
    WALL = 0x40000000

    def __init__(self, thread):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self.thread = thread
        for request in (self.SEIZE, self.INTERRUPT):
            if self.libc.ptrace(request, thread, None, None) != 0:
                raise OSError(ctypes.get_errno(), "ptrace")
        os.waitpid(thread, self.WALL)       # until it has stopped
        # When it dies, its process is gone only once we have heard of it.
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self):
        try:
            while not os.WIFSIGNALED(os.waitpid(self.thread, self.WALL)[1]):
                pass
        except ChildProcessError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.libc.ptrace(self.DETACH, self.thread, None, None)
