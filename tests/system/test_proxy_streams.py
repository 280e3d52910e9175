"""Long streams through a proxy, so many at once that they are spliced: nothing else is different."""

import contextlib
import fcntl
import os
import socket
import time

import pytest

import support
from ends import (fill, meanwhile, receive_pattern, receive_until_reset, send_pattern,
                  unacknowledged)
from support import SANITIZED, wait_for

F_GETPIPE_SZ = 1032
COUNT = 8
SIZE = (16 if SANITIZED else 48) << 20
# With one reactor all streams are its own; with levels nobody tells twice of what is unread.
BACKENDS = ["epoll", "poll", "select"]


def pipes(daemon):
    """How many pipes for streams the daemon has: libevent's, and its standard error, are small."""
    sizes = {}
    for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
        path = f"/proc/{daemon.pid}/fd/{fd}"
        with contextlib.suppress(OSError):
            name = os.readlink(path)
            if name.startswith("pipe:") and name not in sizes:
                end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                sizes[name] = fcntl.fcntl(end, F_GETPIPE_SZ)
                os.close(end)
    return len([size for size in sizes.values() if size >= 256 << 10])


def pairs_of(routes, backend="epoll", **keys):
    route, = routes("tcp-tcp", daemon_keys=f"threads = 1\nreactor = {backend}", **keys)
    return route.daemon, [route.connect() for _ in range(COUNT)]


def splice_all(daemon, pairs):
    """Carries the stream from all clients until it is spliced; returns how much of it."""
    place = 0

    def carry():
        nonlocal place
        meanwhile(*[call for client, upstream in pairs for call in (
            lambda client=client: send_pattern(client, place, SIZE // 4),
            lambda upstream=upstream: receive_pattern(upstream, place, SIZE // 4))])
        place += SIZE // 4
        return pipes(daemon) > 0
    wait_for(carry, "splicing")
    return place


def both_ways(client, upstream, size=SIZE, place=0):
    """Carries the stream both ways, to the ends of both; the client's from a place in it on."""
    def send(end, begin):
        send_pattern(end, begin, size)
        end.shutdown(socket.SHUT_WR)
    return [lambda: send(client, place), lambda: send(upstream, 0),
            lambda: receive_pattern(client, 0), lambda: receive_pattern(upstream, place)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_streams_both_ways_arrive_whole_and_end(routes, backend):
    daemon, pairs = pairs_of(routes, backend)
    results = meanwhile(*[call for pair in pairs for call in both_ways(*pair)])
    assert [result for result in results if result is not None] == [SIZE] * (2 * COUNT)
    assert pipes(daemon) > 0
    for client, _ in pairs:
        daemon.wait_closed(client, "peer_closed")


@pytest.mark.parametrize("backend", BACKENDS)
def test_messages_after_a_stream_are_carried_at_once(routes, backend):
    """A stream may become a conversation, and a stream again."""
    daemon, pairs = pairs_of(routes, backend)
    place = {}

    def carry(sender, receiver, size):
        begin = place.get(sender, 0)
        meanwhile(lambda: send_pattern(sender, begin, size),
                  lambda: receive_pattern(receiver, begin, size))
        place[sender] = begin + size
    for _ in range(3):
        meanwhile(*[lambda pair=pair: carry(*pair, SIZE // 2) for pair in pairs])
        for client, upstream in pairs:
            for size in (1, 64, 5000, 20000, 3):
                carry(client, upstream, size)
                carry(upstream, client, size)
    assert pipes(daemon) > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_does_not_read_holds_up_only_itself(routes, backend):
    daemon, pairs = pairs_of(routes, backend)
    place = splice_all(daemon, pairs)
    stalled, others = pairs[:3], pairs[3:]
    filled = [fill(client, place) for client, _ in stalled]
    results = meanwhile(*[call for client, upstream in others for call in (
        lambda client=client: send_pattern(client, place, SIZE),
        lambda upstream=upstream: receive_pattern(upstream, place, SIZE))])
    assert [result for result in results if result is not None] == [SIZE] * len(others)
    for (client, upstream), length in zip(stalled, filled):
        client.shutdown(socket.SHUT_WR)
        assert receive_pattern(upstream, place) == length


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reset_amid_streams_is_passed_on_and_the_others_go_on(routes, backend):
    daemon, pairs = pairs_of(routes, backend)
    place = splice_all(daemon, pairs)
    resetting, others = pairs[:4], pairs[4:]

    def cut(client):
        send_pattern(client, place, SIZE // 4)
        wait_for(lambda: unacknowledged(client) == 0, "what was sent taken")
        time.sleep(0.05)		# it may be amid the pipe, or beyond: both are right
        support.reset(client)
    results = meanwhile(
        *[lambda client=client: cut(client) for client, _ in resetting],
        *[lambda upstream=upstream: receive_until_reset(upstream, place)
          for _, upstream in resetting],
        *[call for pair in others for call in both_ways(*pair, place=place)])
    assert results[4:8] == [SIZE // 4] * 4
    assert [result for result in results[8:] if result is not None] == [SIZE] * 8


def test_who_goes_amid_a_stream_leaves_no_pipe_and_no_descriptor(routes):
    route, = routes("tcp-tcp", daemon_keys="threads = 1")
    before = None
    for _ in range(3):
        pairs = [route.connect() for _ in range(COUNT)]
        meanwhile(*[call for client, upstream in pairs for call in (
            lambda client=client: send_pattern(client, 0, SIZE // 8),
            lambda upstream=upstream: receive_pattern(upstream, 0, SIZE // 8))])
        for client, _ in pairs:
            fill(client, SIZE // 8, quiet_s=0.05)
        for index, (client, upstream) in enumerate(pairs):
            support.reset(upstream if index % 2 else client)
        route.hang_up()
        wait_for(lambda: not [name for name in route.daemon.descriptors()
                              if name.startswith("socket:")][8:], "connections gone")
        now = len(route.daemon.descriptors())
        before = before or now
        assert now <= before + 2 * COUNT		# spare pipes
    assert pipes(route.daemon) <= COUNT


def test_more_streams_than_pipes(routes):
    route, = routes("tcp-tcp", daemon_keys="threads = 1")
    pairs = [route.connect() for _ in range(24)]
    size = SIZE // 4
    results = meanwhile(*[call for pair in pairs for call in both_ways(*pair, size)])
    assert [result for result in results if result is not None] == [size] * 48
    assert 0 < pipes(route.daemon) <= 8


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "going-on"])
def test_what_is_behind_urgent_data_in_a_stream_is_carried(routes, backend, ended):
    """splice(2) takes urgent data for the end of what there is; with more queued, for the stream's."""
    daemon, pairs = pairs_of(routes, backend)
    place = splice_all(daemon, pairs)
    size, more = SIZE // 2, 1 << 20

    def send(client):
        send_pattern(client, place, size)
        client.send(b"!", socket.MSG_OOB)
        send_pattern(client, place + size, more)
        if ended:
            client.shutdown(socket.SHUT_WR)

    def read(upstream):
        return receive_pattern(upstream, place, None if ended else size + more)
    results = meanwhile(*[lambda pair=pair: send(pair[0]) for pair in pairs],
                        *[lambda pair=pair: read(pair[1]) for pair in pairs])
    assert results[COUNT:] == [size + more] * COUNT
