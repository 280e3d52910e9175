"""proxy: bytes to an upstream and back, with half-closes, resets and back-pressure passed on."""

import contextlib
import errno
import hashlib
import os
import select
import socket
import threading
import time

import pytest

from support import (PATIENCE, SANITIZED, SLOW, despite_stalls, exchange, listener, push, receive,
                     receive_all, reset, wait_for)


def proxy(twined, upstream, listen="tcp://127.0.0.1:0", **keys):
    return twined(listener("web", "proxy", listen, upstream=upstream, **keys))


def echo(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def expect_reset(daemon):
    """A client that is reset: at the earliest while it connects."""
    with pytest.raises(ConnectionResetError):
        receive_all(daemon.connect("web"))


@pytest.mark.parametrize("front", ["tcp", "unix"])
@pytest.mark.parametrize("back", ["tcp", "unix"])
def test_bytes_go_both_ways_and_both_ends_are_passed_on(twined, server, directory, front, back):
    upstream = server(echo, f"{directory}/up" if back == "unix" else None)
    daemon = proxy(twined, upstream, f"tcp://127.0.0.1:0, unix://{directory}/front")
    data = os.urandom(5 << 20)
    client = daemon.connect("web", front)
    assert exchange(client, data) == data
    daemon.wait_closed(client, "peer_closed")


def test_the_server_answers_after_the_clients_half_close(twined, server):
    answered = threading.Event()

    def later(connection):
        request = receive_all(connection)
        answered.wait(0.8)		# what is waited for is the time itself
        connection.sendall(b"you said: " + request)
    client = proxy(twined, server(later)).connect("web")
    client.sendall(b"hello")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"you said: hello"


def test_the_client_goes_on_after_the_servers_half_close(twined, server):
    got = []

    def first(connection):
        connection.sendall(b"welcome")
        connection.shutdown(socket.SHUT_WR)
        got.append(receive_all(connection))
    client = proxy(twined, server(first)).connect("web")
    assert receive_all(client) == b"welcome"
    data = os.urandom(1 << 20)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: got, "the server's end")
    assert got == [data]


def test_a_half_close_before_the_upstream_is_there_is_passed_on(twined, server):
    client = proxy(twined, server(lambda peer: peer.sendall(receive_all(peer)))).connect("web")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b""


def test_both_ends_at_once(twined, server):
    def close(connection):
        connection.sendall(b"bye")
    daemon = proxy(twined, server(close))
    client = daemon.connect("web")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"bye"
    daemon.wait_closed(client, "peer_closed")


def test_a_clients_reset_resets_the_server(twined, server):
    seen = []

    def wait(connection):
        connection.sendall(b"ready")
        try:
            seen.append(receive_all(connection))
        except ConnectionResetError as error:
            seen.append(error.errno)
    daemon = proxy(twined, server(wait))
    client = daemon.connect("web")
    assert receive(client, 5) == b"ready"
    reset(client)
    wait_for(lambda: seen, "the server's end")
    assert seen == [errno.ECONNRESET]
    daemon.wait_log("closed: peer_reset")


def test_a_servers_reset_resets_the_client(twined, server):
    def leave(connection):
        receive(connection, 2)
        reset(connection)
    daemon = proxy(twined, server(leave))
    client = daemon.connect("web")
    client.sendall(b"hi")
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    daemon.wait_log("closed: upstream_reset")


def test_a_reset_after_the_clients_half_close_resets_the_server(twined, server):
    ended = threading.Event()

    def wait(connection):
        assert receive_all(connection) == b"hi"
        connection.sendall(b"ready")
        watch = select.poll()
        watch.register(connection, 0)		# both ends have gone, or an error
        if watch.poll(PATIENCE * 1000):
            ended.set()
    client = proxy(twined, server(wait)).connect("web")
    client.sendall(b"hi")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 5) == b"ready"
    reset(client)
    assert ended.wait(PATIENCE)


def test_a_reset_while_the_server_does_not_read_resets_the_server(twined, server):
    seen, go = [], threading.Event()

    def stall(connection):
        go.wait(PATIENCE)
        try:
            while connection.recv(1 << 16):
                pass
            seen.append("end of stream")
        except ConnectionResetError:
            seen.append("reset")
    client = proxy(twined, server(stall)).connect("web")
    push(client)
    reset(client)
    go.set()
    wait_for(lambda: seen, "the server's end")
    assert seen == ["reset"]


def test_a_refused_upstream_resets_the_client(twined, refusing):
    daemon = proxy(twined, refusing)
    expect_reset(daemon)
    daemon.wait_log("closed: upstream_refused")


def test_upstreams_are_taken_in_turn(twined, server):
    def name(which):
        return lambda connection: connection.sendall(which)
    daemon = proxy(twined, f"{server(name(b'a'))}, {server(name(b'b'))}, {server(name(b'c'))}")
    names = [receive_all(daemon.connect("web")) for _ in range(9)]
    assert sorted(names) == [b"a"] * 3 + [b"b"] * 3 + [b"c"] * 3


def test_an_upstream_that_does_not_answer_costs_connect_timeout(twined, silent):
    daemon = proxy(twined, silent, connect_timeout="300ms")
    started = time.monotonic()
    expect_reset(daemon)
    assert time.monotonic() - started > 0.25
    daemon.wait_log("closed: connect_timeout")


def test_a_server_that_does_not_read_stops_the_client(twined, server):
    go, totals = threading.Event(), []

    def stall(connection):
        go.wait(PATIENCE)
        totals.append(len(receive_all(connection)))
    daemon = proxy(twined, server(stall))
    client = daemon.connect("web")
    before = daemon.rss()
    pushed = push(client)
    assert pushed < 64 << 20
    if not SANITIZED:
        assert daemon.rss() - before < 1 << 20
    go.set()
    client.shutdown(socket.SHUT_WR)
    wait_for(lambda: totals, "the server has read on")
    assert totals == [pushed]


def test_a_client_that_does_not_read_stops_the_server(twined, server):
    pushed = []

    def pour(connection):
        pushed.append(push(connection))
        connection.shutdown(socket.SHUT_WR)
        receive_all(connection)
    daemon = proxy(twined, server(pour))
    client = daemon.connect("web")
    wait_for(lambda: pushed, "the server is stopped")
    assert 0 < pushed[0] < 64 << 20
    if not SANITIZED:
        assert daemon.rss() < 40 << 20
    assert receive_all(client) == b"x" * pushed[0]


def test_a_hundred_transfers_at_a_time_arrive_whole(twined, server):
    size = (2 << 20) // (4 if SANITIZED else 1)
    data = os.urandom(size)
    expected = hashlib.sha256(data).digest()
    daemon = proxy(twined, server(echo))
    digests = []

    def transfer():
        digests.append(hashlib.sha256(exchange(daemon.connect("web"), data)).digest())
    threads = [threading.Thread(target=transfer) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * SLOW)
    assert digests == [expected] * 100


def test_what_the_server_sent_before_closing_arrives_whole_at_a_slow_client(twined, server):
    data = os.urandom(4 << 20)

    def pour(connection):
        connection.sendall(data)
    client = proxy(twined, server(pour)).connect("web", buffer=8192)
    parts = []
    while part := client.recv(32768):
        parts.append(part)
    assert b"".join(parts) == data


def test_a_proxy_in_front_of_a_proxy(twined, server):
    inner = proxy(twined, server(echo))
    outer = proxy(twined, inner.address("web"))
    data = os.urandom(3 << 20)
    assert exchange(outer.connect("web"), data) == data


def test_a_name_is_looked_up(twined, server):
    address = server(echo).replace("127.0.0.1", "localhost")
    client = proxy(twined, address).connect("web")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"


def test_the_idle_timeout_of_a_proxy_covers_both_sides(twined, server):
    daemon = proxy(twined, server(receive_all), idle_timeout="200ms", linger_timeout="100ms")
    client = daemon.connect("web")
    assert receive_all(client) == b""
    daemon.wait_log("closed: idle_timeout")


def test_a_pair_whose_sides_began_at_different_times_is_idle_all_the_same(twined, server):
    """What the first one waits for is the second, and not the other way round."""
    tracer = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=connect",
              "-e", "inject=connect:delay_enter=150ms"]
    daemon = twined(listener("web", "proxy", upstream=server(receive_all), idle_timeout="600ms",
                             linger_timeout="100ms"),
                    wrapper=tracer, env={"ASAN_OPTIONS": "detect_leaks=0"})
    client = daemon.connect("web")
    assert receive_all(client) == b""
    daemon.wait_log("closed: idle_timeout")


def test_a_pair_is_idle_only_when_both_of_its_sides_are(twined, server):
    """The server has sent all; what the client reads slowly is not silence."""
    data = os.urandom(2 << 20)

    def pour(connection):
        connection.sendall(data)
        receive_all(connection)
    daemon = proxy(twined, server(pour), idle_timeout="600ms")

    def read(step):
        client = daemon.connect("web", buffer=4096)
        got = bytearray()
        started = time.monotonic()
        while time.monotonic() - started < 1.8:
            got += client.recv(4096)
            time.sleep(0.02)		# the pace is what is tested
            step()
        while len(got) < len(data):
            part = client.recv(4096)
            assert part
            got += part
            step()
        assert got == data
    despite_stalls(0.3, read)


def test_what_is_behind_urgent_data_is_read_while_the_other_way_is_busy(twined, server):
    """A read stops before urgent data, and no event tells of what is behind that."""
    pushed, arrived, ended = threading.Event(), threading.Event(), threading.Event()

    def talk(connection):
        with contextlib.suppress(OSError):
            while not ended.wait(0.01):
                connection.sendall(b"x" * 100)

    def read_late(connection):
        talker = threading.Thread(target=talk, args=(connection,))
        talker.start()
        assert pushed.wait(PATIENCE)
        last = b""
        while part := connection.recv(65536):
            last = (last + part)[-6:]
            if last == b"abcefg":
                arrived.set()
        talker.join()
    daemon = proxy(twined, server(read_late))
    client = daemon.connect("web")

    def drop():
        with contextlib.suppress(OSError):
            while client.recv(65536):
                pass
    push(client)			# what follows comes on top of much that is unread
    dropper = threading.Thread(target=drop)
    dropper.start()
    pushed.set()
    client.sendall(b"abc")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"efg")
    try:
        assert arrived.wait(PATIENCE)
    finally:
        ended.set()
        client.shutdown(socket.SHUT_RDWR)
        dropper.join()


DROPS = 20


def drop_by_drop(connection):
    """Sends what hear_drops expects, at a pace; who is slow may have been given up."""
    with contextlib.suppress(OSError):
        for _ in range(DROPS):
            connection.sendall(b".")
            time.sleep(0.05)		# the pace is what is tested


def hear_drops(client, step):
    for _ in range(DROPS):
        assert client.recv(1) == b"."
        step()
    assert client.recv(1) == b""


HALF_CLOSED = {"half_close_timeout": "400ms", "linger_timeout": "100ms"}


def test_a_server_that_is_silent_after_the_clients_end_is_given_up(twined, server):
    given_up, refused = threading.Event(), threading.Event()

    def answer_late(connection):
        assert receive_all(connection) == b"hello"
        given_up.wait(PATIENCE)
        try:
            while True:
                connection.sendall(b"late")
                time.sleep(0.01)
        except (ConnectionResetError, BrokenPipeError):
            refused.set()
    daemon = proxy(twined, server(answer_late), **HALF_CLOSED)
    client = daemon.connect("web")
    client.sendall(b"hello")
    started = time.monotonic()
    client.shutdown(socket.SHUT_WR)
    # An end of stream would be an answer: that there is none.
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    assert time.monotonic() - started > 0.35
    daemon.wait_log("closed: half_close_timeout, 5 bytes in, 0 out")
    given_up.set()
    assert refused.wait(PATIENCE)


def test_a_client_that_is_silent_after_the_servers_end_is_given_up(twined, server):
    ends = []

    def end_first(connection):
        connection.sendall(b"welcome")
        connection.shutdown(socket.SHUT_WR)
        try:
            ends.append(receive_all(connection))
        except ConnectionResetError:
            ends.append("reset")
    daemon = proxy(twined, server(end_first), **HALF_CLOSED)
    started = time.monotonic()
    client = daemon.connect("web")
    assert receive_all(client) == b"welcome"
    daemon.wait_log("closed: half_close_timeout, 0 bytes in, 7 out")
    assert time.monotonic() - started > 0.35
    wait_for(lambda: ends == ["reset"], "the server learns of it")


def test_who_goes_on_after_the_others_end_is_not_silent(twined, server):
    def drip(connection):
        assert receive_all(connection) == b"hello"
        drop_by_drop(connection)
    daemon = proxy(twined, server(drip), **HALF_CLOSED)

    def hear(step):
        client = daemon.connect("web")
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        hear_drops(client, step)
    despite_stalls(0.2, hear)


@pytest.mark.parametrize("limit", ["none", "1h"])
def test_a_half_closed_pair_is_idle_after_idle_timeout_at_the_latest(twined, server, limit):
    ended = threading.Event()

    def stay_silent(connection):
        receive_all(connection)
        ended.wait(PATIENCE)
    daemon = proxy(twined, server(stay_silent), half_close_timeout=limit, idle_timeout="300ms",
                   linger_timeout="100ms")
    client = daemon.connect("web")
    client.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    ended.set()
    daemon.wait_log("closed: idle_timeout")


def test_traffic_one_way_keeps_a_proxied_connection_open(twined, server):
    daemon = proxy(twined, server(drop_by_drop), idle_timeout="400ms")
    despite_stalls(0.2, lambda step: hear_drops(daemon.connect("web"), step))
