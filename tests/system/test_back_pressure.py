"""Back-pressure: who does not read stops who sends, and the proxy between holds little."""

import fcntl
import os
import re
import socket
import struct
import termios
import time

import pytest

from ends import meanwhile, pattern, receive_pattern, send_pattern
from support import PATIENCE, SANITIZED, wait_for

STALLED = 64
PER_DIRECTION = 64 << 10
SIZE = 16 << 20


def held(daemon):
    """The bytes that are the daemon's alone: its private memory, and what is in its pipes."""
    with open(f"/proc/{daemon.pid}/smaps_rollup", encoding="ascii") as file:
        total = sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", file.read(), re.M))
    total *= 1024
    pipes = set()
    for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
        name = os.readlink(f"/proc/{daemon.pid}/fd/{fd}")
        if name.startswith("pipe:") and name not in pipes:
            pipes.add(name)
            pipe = os.open(f"/proc/{daemon.pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
            total += struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"1234"))[0]
            os.close(pipe)
    return total


def fill_all(ends, quiet_s=0.3):
    """Sends the stream of bytes on all ends until none takes one for a while; what each took."""
    taken = dict.fromkeys(ends, 0)
    for end in ends:
        end.setblocking(False)
    moved = time.monotonic()
    while time.monotonic() - moved < quiet_s:
        for end in ends:
            try:
                taken[end] += end.send(pattern(taken[end], 1 << 16))
                moved = time.monotonic()
            except BlockingIOError:
                pass
        time.sleep(0.002)
    for end in ends:
        end.settimeout(PATIENCE)
    return taken


def warm(pairs):
    """Each connection carries something both ways."""
    for client, upstream in pairs:
        for sender, receiver in ((client, upstream), (upstream, client)):
            send_pattern(sender, 0, 10000)
            assert receive_pattern(receiver, 0, 10000) == 10000


@pytest.mark.parametrize("way", ["tcp-tcp", "unix-unix"])
def test_stalled_directions_cost_at_most_64_kib_each_and_lose_nothing(routes, way):
    route, = routes(way, daemon_keys="threads = 1", buffer=64 << 10)
    pairs = [route.connect() for _ in range(STALLED)]
    warm(pairs)
    before = held(route.daemon)
    taken = fill_all([end for pair in pairs for end in pair])
    grown = held(route.daemon) - before
    # Malloc's own rounding of blocks of 64 KiB is within the megabyte.
    assert SANITIZED or grown <= 2 * STALLED * PER_DIRECTION + (1 << 20)

    # Who is not stalled has a way through.
    client, upstream = route.connect()
    meanwhile(lambda: send_pattern(client, 0, SIZE),
              lambda: receive_pattern(upstream, 0, SIZE))
    warm([(client, upstream)])

    def read(client, upstream):
        return receive_pattern(client, 0), receive_pattern(upstream, 0)
    for end in taken:
        end.shutdown(socket.SHUT_WR)
    assert meanwhile(*[lambda pair=pair: read(*pair) for pair in pairs]) == \
        [(taken[upstream], taken[client]) for client, upstream in pairs]


def test_a_stalled_proxy_is_idle(routes):
    """It waits for room, and asks for nothing else."""
    route, = routes("tcp-tcp")
    pairs = [route.connect() for _ in range(8)]
    fill_all([end for pair in pairs for end in pair])

    def is_idle():
        before = route.daemon.cpu_time()
        time.sleep(0.3)			# the span that is measured
        return route.daemon.cpu_time() - before < 0.01
    wait_for(is_idle, "nothing to do")
