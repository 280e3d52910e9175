"""Both ends of connections through a proxy, and streams of bytes whose every place is known."""

import contextlib
import fcntl
import os
import socket
import struct
import termios
import threading
import time

import pytest

import support

WAYS = ["tcp-tcp", "tcp-unix", "unix-tcp", "unix-unix"]
PERIOD = 1048573		# a prime: what is lost or comes twice cannot fit again
_pattern = os.urandom(PERIOD) * 2


def pattern(place, length):
    """So many bytes, at most PERIOD, of the stream that all ends know, from a place in it on."""
    place %= PERIOD
    return _pattern[place:place + length]


def send_pattern(end, place, length):
    """Sends bytes of the stream, from a place in it on."""
    while length > 0:
        part = pattern(place, min(length, 1 << 18))
        end.sendall(part)
        place += len(part)
        length -= len(part)


def fill(end, place, quiet_s=0.3):
    """Sends bytes of the stream until none has been taken for a while; returns how many were."""
    end.setblocking(False)
    filled, moved = 0, time.monotonic()
    while time.monotonic() - moved < quiet_s:
        try:
            filled += end.send(pattern(place + filled, 1 << 16))
            moved = time.monotonic()
        except BlockingIOError:
            time.sleep(0.005)
    end.settimeout(support.PATIENCE)
    return filled


def receive_pattern(end, place, length=None):
    """Receives so many bytes of the stream, or all up to its end; returns how many came."""
    received = 0
    for part in parts_of(end, length):
        if part != pattern(place + received, len(part)):
            raise AssertionError(f"wrong bytes between {received} and {received + len(part)}")
        received += len(part)
    return received


def receive_until_reset(end, place):
    """Receives bytes of the stream up to a reset; returns how many came. An end is no reset."""
    received = 0
    try:
        for part in parts_of(end, None):
            assert part == pattern(place + received, len(part)), "wrong bytes"
            received += len(part)
    except ConnectionResetError:
        return received
    raise AssertionError(f"end of stream instead of a reset after {received} bytes")


def parts_of(end, length):
    while length is None or length > 0:
        part = end.recv(1 << 18 if length is None else min(length, 1 << 18))
        if not part:
            return
        length = None if length is None else length - len(part)
        yield part


def unacknowledged(end):
    """How much of what an end has sent the other's system has not taken yet."""
    return struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, b"1234"))[0]


def meanwhile(*calls):
    """Runs functions at once, each in a thread; returns their results when all have ended."""
    results, errors = [None] * len(calls), []

    def run(index, call):
        try:
            results[index] = call()
        except Exception as error:	# the test's thread raises it
            errors.append(error)
    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


class Route:
    """A way from a listener of a proxy to an upstream of ours that accepts when we do."""

    def __init__(self, way, name, directory, backlog, buffer):
        self.front, back = way.split("-")
        self.name = name
        self.way = way
        self.daemon = None
        self.buffer = buffer
        self.listening = socket.socket(socket.AF_UNIX if back == "unix" else socket.AF_INET)
        self.listening.settimeout(support.PATIENCE)
        path = f"{directory}/{name}-back"
        self.listening.bind(path if back == "unix" else ("127.0.0.1", 0))
        if buffer:
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.listening.listen(backlog)
        self.upstream = (f"unix://{path}" if back == "unix"
                         else "tcp://127.0.0.1:%d" % self.listening.getsockname()[1])
        self.listen = (f"unix://{directory}/{name}-front" if self.front == "unix"
                       else "tcp://127.0.0.1:0")
        self.opened = []

    def dial(self):
        """The client's end of a connection."""
        client = self.daemon.connect(self.name, self.front, buffer=self.buffer)
        self.opened.append(client)
        return client

    def accept(self):
        """The upstream's end of a connection."""
        end, _ = self.listening.accept()
        end.settimeout(support.PATIENCE)
        self.opened.append(end)
        return end

    def connect(self):
        """Both ends of a connection: the client's, and the upstream's."""
        return self.dial(), self.accept()

    def hang_up(self):
        """Closes what is open."""
        while self.opened:
            self.opened.pop().close()


@pytest.fixture
def routes(twined, directory):
    """Starts a proxy with a route for each way: from "tcp" to "unix" it is "tcp-unix"."""
    made = []

    def start(*ways, daemon_keys="", backlog=128, buffer=None, **keys):
        new = [Route(way, f"r{len(made) + index}", directory, backlog, buffer)
               for index, way in enumerate(ways)]
        made.extend(new)
        daemon = twined(f"[daemon]\n{daemon_keys}\n" + "".join(
            support.listener(one.name, "proxy", one.listen, upstream=one.upstream, **keys)
            for one in new))
        for one in new:
            one.daemon = daemon
        return new
    yield start
    for one in made:
        one.hang_up()
        with contextlib.suppress(OSError):
            one.listening.close()
