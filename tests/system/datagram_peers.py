"""Servers and clients of datagrams: an upstream that keeps what it gets, and a crowd of sources."""

import contextlib
import ipaddress
import os
import socket
import struct
import threading

import pytest

from support import PATIENCE, socket_address, wait_for

IP_PKTINFO = 8		# which Python has no name for before 3.13


def echo(data, _source):
    return [data]


def silence(_data, _source):
    return []


class Upstream:
    """A server at an address. answer(data, source) gives what it sends back for each datagram."""

    def __init__(self, address="udp://127.0.0.1:0", answer=echo):
        family, kind, where = socket_address(address)
        self.socket = socket.socket(family, kind)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(where)
        self.address = address
        if family != socket.AF_UNIX:
            host, port = self.socket.getsockname()[:2]
            self.address = f"udp://[{host}]:{port}" if ":" in host else f"udp://{host}:{port}"
        self.answer = answer
        self.received = []
        self.count = 0
        self.keep = True		# what is received
        self.ending = False
        self.socket.settimeout(0.05)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.ending:
            try:
                data, source = self.socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            self.count += 1
            if self.keep:
                self.received.append((data, source))
            for reply in self.answer(data, source):
                with contextlib.suppress(OSError):	# whoever asked has gone
                    self.socket.sendto(reply, source)

    def wait(self, count, what="datagrams at the upstream"):
        """All that has come, once there are so many."""
        wait_for(lambda: len(self.received) >= count, f"{count} {what}")
        return list(self.received)

    def send(self, data, source):
        self.socket.sendto(data, source)

    def close(self):
        self.ending = True
        self.thread.join(PATIENCE)
        self.socket.close()
        if self.address.startswith("unixgram:///"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address[len("unixgram://"):])


@pytest.fixture
def upstream():
    """Starts servers of datagrams: upstream(address, answer)."""
    started = []

    def start(*args, **keys):
        started.append(Upstream(*args, **keys))
        return started[-1]
    yield start
    for one in started:
        if not one.ending:
            one.close()


class Crowd:
    """
    One socket that sends from any address of 127.0.0.0/8, and says which of them an answer has
    come to.
    """

    def __init__(self, port):
        self.port = port		# of the listener, on 127.0.0.1
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.settimeout(PATIENCE)

    def send(self, number, data):
        """From the source of that number, of which there are 16 million."""
        source = struct.pack("=I4s4s", 0, (0x7f000000 + 256 + number).to_bytes(4, "big"), bytes(4))
        self.socket.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0,
                            ("127.0.0.1", self.port))

    def receive(self):
        """The number of a source, and what has come to it."""
        data, control, _, _ = self.socket.recvmsg(1 << 16, socket.CMSG_SPACE(12))
        address = control[0][2][8:12]
        return int(ipaddress.ip_address(address)) - 0x7f000000 - 256, data

    def close(self):
        self.socket.close()


@pytest.fixture
def crowd():
    """Makes crowds: crowd(port)."""
    made = []

    def make(port):
        made.append(Crowd(port))
        return made[-1]
    yield make
    for one in made:
        one.close()


def summary(daemon, name):
    """
    What the summary says of a listener: {"datagrams in": 3, "flows open": 1, "session_timeout": 2}.
    """
    since = len(daemon.log)
    daemon.signal(10)
    text = daemon.wait_log(rf" {name}: (\d+ open, .*)", since)[1]
    # What follows it is not to be taken for a part of the next summary.
    last = max(listener_name for listener_name, _ in daemon.listening)
    daemon.wait_log(rf" {last}: \d+ open, ", since)
    counts = {"flows open": 0}
    main, *parts = text.split("; ")
    for part in main.split(", "):
        number, _, what = part.partition(" ")
        if what.startswith(("flow open of", "flows open of")):
            counts["flows open"] = int(number)
            counts["flows"] = int(what.rpartition(" ")[2])
        elif what == "out":
            counts["datagrams out" if "datagrams in" in counts else "bytes out"] = int(number)
        else:
            counts[what] = int(number)
    for part in parts:
        for one in part.partition(": ")[2].split(", "):
            word, number = one.rsplit(" ", 1)
            counts[word] = int(number)
    return counts
