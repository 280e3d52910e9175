"""A twined that a test has started: its addresses, log, notifications, and how it ends."""

import contextlib
import itertools
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

SOURCE = os.environ.get(
    "TWINED_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TWINED = os.environ.get("TWINED", os.path.join(SOURCE, "twined"))
SANITIZED = os.environ.get("TWINED_SANITIZE", "no") not in ("", "no")
# Every deadline is this much longer: under valgrind or sanitizers, or on a busy machine.
SLOW = float(os.environ.get("TWINED_SLOW", "4" if SANITIZED else "1"))
PATIENCE = 20 * SLOW
REPORT = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|: runtime error: ")
# What a daemon may say that has nothing to complain about.
LOG_LINE = re.compile(r"twined: (warning|notice|info|debug): .")
LISTENING = re.compile(r": (\S+) ((?:tcp|udp|unix|unixgram)://\S+): \S+ (?:listening|changed)$")
ADDRESS = re.compile(r"^(tcp|udp|unix|unixgram)://(.*)$")
RESET = struct.pack("ii", 1, 0)


def wait_for(condition, what, seconds=PATIENCE):
    """Returns the condition's first true value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.002)


def despite_stalls(limit_s, attempt):
    """
    For what must go on at a pace: runs attempt(step), which calls step() after each of its steps.
    One that fails though each step took less than limit_s has failed; others are made again.
    """
    deadline = time.monotonic() + 3 * PATIENCE
    while True:
        times = [time.monotonic()]
        try:
            return attempt(lambda: times.append(time.monotonic()))
        except (AssertionError, OSError):
            times.append(time.monotonic())
            longest = max(later - earlier for earlier, later in itertools.pairwise(times))
            if longest < limit_s or times[-1] > deadline:
                raise


def listener(name, protocol, listen="tcp://127.0.0.1:0", **keys):
    """A section of a configuration."""
    keys = {"listen": listen, "protocol": protocol, **keys}
    return f"[listener:{name}]\n" + "".join(f"{key} = {keys[key]}\n" for key in keys) + "\n"


def free_address():
    """A TCP address that nobody uses, and that no client is given by chance."""
    while True:
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", random.randrange(12000, 32000)))
                return "tcp://127.0.0.1:%d" % probe.getsockname()[1]


def socket_address(text):
    """What Python calls an address of the log: a family, a type and where to connect to."""
    scheme, rest = ADDRESS.match(text).groups()
    kind = socket.SOCK_STREAM if scheme in ("tcp", "unix") else socket.SOCK_DGRAM
    if scheme in ("unix", "unixgram"):
        return socket.AF_UNIX, kind, "\0" + rest[1:] if rest.startswith("@") else rest
    host, port = rest.rsplit(":", 1)
    host = host.strip("[]").replace("*", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")
    if host == "::":
        host = "::1"
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), kind, (host, int(port))


def receive(client, length):
    """Exactly so many bytes, or what there is before the end of the stream."""
    parts = []
    while length > 0:
        part = client.recv(min(length, 1 << 20))
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def receive_all(client):
    """Everything up to the end of the stream."""
    return receive(client, 1 << 40)


def exchange(client, data):
    """Sends all, ends the stream, and returns all that comes back, at the same time."""
    def send():
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        return receive_all(client)
    finally:
        sender.join()


def push(client, chunk=b"x" * 65536, quiet_s=0.3):
    """Sends until the peer has not taken a byte for a while; returns how many it has taken."""
    client.setblocking(False)
    pushed, moved = 0, time.monotonic()
    while time.monotonic() - moved < quiet_s:
        try:
            pushed += client.send(chunk)
            moved = time.monotonic()
        except BlockingIOError:
            time.sleep(0.005)
    client.settimeout(PATIENCE)
    return pushed


def reset(client):
    """Closes with a reset instead of an end of stream."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def run(*args, timeout=PATIENCE, **options):
    """Runs twined to its end."""
    result = subprocess.run([TWINED, *args], stdin=subprocess.DEVNULL, capture_output=True,
                            timeout=timeout, text=True, errors="backslashreplace", **options)
    assert not REPORT.search(result.stderr), result.stderr
    return result


class Daemon:
    """A running twined."""

    def __init__(self, config=None, *, args=(), env=None, limits=None, errors=None, ready=True,
                 wrapper=(), before_exec=None):
        self.directory = tempfile.mkdtemp(prefix="twined-")
        self.path = os.path.join(self.directory, "twined.ini")
        self.errors = re.compile(errors) if errors else None
        self.changed = threading.Condition()
        self.log = []
        self.listening = []
        self.states = []
        self.sockets = []
        self.finished = False
        args = list(args)
        if config is not None:
            self.write(config)
            args = ["-c", self.path, *args]
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.directory, "notify"))
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("LISTEN_FDS", "WATCHDOG_USEC", "JOURNAL_STREAM")}
        environment["NOTIFY_SOCKET"] = self.notify.getsockname()
        environment.update(env or {})

        def prepare():
            for name, value in (limits or {}).items():
                resource.setrlimit(name, (value, value))
            if before_exec:
                before_exec()
        self.process = subprocess.Popen([*wrapper, TWINED, *args], env=environment,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        preexec_fn=prepare, close_fds=before_exec is None)
        self.pid = self.process.pid
        self.threads = [threading.Thread(target=target, daemon=True)
                        for target in (self._read_states, self._read_log)]
        for thread in self.threads:
            thread.start()
        if ready:
            self.wait_state("READY=1")

    def _read_log(self):
        for line in self.process.stderr:
            text = line.decode("utf-8", "backslashreplace").rstrip("\n")
            match = LISTENING.search(text)
            with self.changed:
                self.log.append(text)
                if match and match.groups() not in self.listening:
                    self.listening.append(match.groups())
                self.changed.notify_all()

    def _read_states(self):
        while True:
            try:
                message = self.notify.recv(65536).decode()
            except OSError:
                return
            if message == "":
                return
            with self.changed:
                self.states.append(message)
                self.changed.notify_all()

    def write(self, config):
        """Replaces the configuration file."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(config)

    def _wait_in(self, items, matches, what, since, seconds):
        deadline, more = time.monotonic() + seconds, 10
        with self.changed:
            while True:
                if self.process.poll() is not None and not self.threads[1].is_alive():
                    more -= 1		# what it has said at last may be on its way
                for item in items[since:]:
                    match = matches(item)
                    if match:
                        return match
                left = deadline - time.monotonic()
                if left <= 0 or more <= 0:
                    raise AssertionError(f"{what} did not come; exit {self.process.poll()}; log:\n"
                                         + "\n".join(self.log[-40:]))
                self.changed.wait(min(left, 0.1))

    def wait_log(self, pattern, since=0, seconds=PATIENCE):
        """The match of the first log line that fits."""
        return self._wait_in(self.log, re.compile(pattern).search, f"log line {pattern!r}", since,
                             seconds)

    def wait_state(self, text, since=0, seconds=PATIENCE):
        """The first notification that has this text among its lines."""
        return self._wait_in(self.states, lambda m: m if text in m.split("\n") else None,
                             f"state {text!r}", since, seconds)

    def lines(self, pattern):
        """The log lines that fit."""
        with self.changed:
            return [line for line in self.log if re.search(pattern, line)]

    def wait_closed(self, client, reason):
        """Ends a client, and waits for the line that says why its connection was closed."""
        peer = re.escape(f"tcp://{client.getsockname()[0]}:{client.getsockname()[1]}"
                         if client.family == socket.AF_INET else "unix://")
        client.close()
        self.wait_log(f": {peer}: closed: {reason}, ")

    def address(self, name, scheme="tcp", index=0):
        """The address of a listener, as the log says it."""
        def find():
            found = [address for listener_name, address in self.listening
                     if listener_name == name and address.startswith(scheme + "://")]
            return found[index] if len(found) > index else None
        return wait_for(find, f"address of {name} {scheme}")

    def port(self, name, scheme="tcp", index=0):
        return int(self.address(name, scheme, index).rsplit(":", 1)[1])

    def connect(self, name, scheme="tcp", index=0, *, buffer=None, source=None):
        """A client; closed before the daemon is stopped at the test's end."""
        return self.connect_to(self.address(name, scheme, index), buffer=buffer, source=source)

    def connect_to(self, address, *, buffer=None, source=None):
        family, kind, where = socket_address(address)
        client = socket.socket(family, kind)
        self.sockets.append(client)
        client.settimeout(PATIENCE)
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        if source:
            client.bind((source, 0))
        elif family == socket.AF_UNIX and kind == socket.SOCK_DGRAM:
            client.bind("")		# a name of its own, to be answered
        client.connect(where)
        return client

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None):
        """Replaces the file, asks for a reload, and returns the command's result."""
        if config is not None:
            self.write(config)
        return run("--reload", str(self.pid))

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024

    def cpu_time(self):
        """Seconds of CPU, of all threads."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError):
                with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total / 1e9

    def thread_states(self):
        """The state letter of each thread (proc(5))."""
        states = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/stat", encoding="ascii") as file:
                states.append(file.read().rpartition(")")[2].split()[0])
        return states

    def descriptors(self):
        """The names of its open descriptors, but for rings: a reactor has one from some time on."""
        names = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                names.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
        return [name for name in names if name != "anon_inode:[io_uring]"]

    def close_clients(self):
        for client in self.sockets:
            client.close()
        self.sockets.clear()

    def wait(self, seconds=PATIENCE):
        """The exit status; all of the log has been read then."""
        self.threads[1].join(seconds)		# its stderr ends with it
        return self.process.wait(PATIENCE)

    def stop(self, seconds=PATIENCE):
        """Stops it, and judges how it went: exit status 0, nothing reported."""
        if self.finished:
            return
        self.finished = True
        try:
            if self.process.poll() is None and not self.lines("notice: stopping$"):
                self.signal(signal.SIGTERM)
            status = self.wait(seconds)
        finally:
            self.clean()
        self.judge(status)

    def judge(self, status):
        text = "\n".join(self.log)
        assert not REPORT.search(text), text
        bad = [line for line in self.log if not LOG_LINE.match(line)
               and not (self.errors and self.errors.search(line))]
        assert not bad, "\n".join(bad)
        assert status == 0, f"exit status {status}\n{text[-4000:]}"

    def fail(self, seconds=PATIENCE):
        """Waits for it to end by itself with 1; returns its log."""
        self.finished = True
        try:
            status = self.wait(seconds)
        finally:
            self.clean()
        text = "\n".join(self.log)
        assert not REPORT.search(text), text
        assert status == 1, f"exit status {status}\n{text}"
        return text

    def kill(self):
        """Ends it without a word, leaving what it has made."""
        self.finished = True
        self.process.kill()
        self.process.wait()
        for thread in self.threads[1:]:
            thread.join(PATIENCE)
        self.notify.close()

    def clean(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            for thread in self.threads[1:]:
                thread.join(PATIENCE)
        with contextlib.suppress(OSError):
            self.notify.shutdown(socket.SHUT_RDWR)
        self.notify.close()
        shutil.rmtree(self.directory, ignore_errors=True)
