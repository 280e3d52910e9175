"""The time-outs, each with the word that the log has for it."""

import contextlib
import os
import socket
import time

import pytest

from support import PATIENCE, despite_stalls, exchange, listener, push, receive, receive_all, reset


def ends_after(client, least):
    """That it ends, before patience does, and not too soon."""
    started = time.monotonic()
    try:
        receive_all(client)
    except ConnectionResetError:
        pass
    assert time.monotonic() - started >= least


@pytest.mark.parametrize("protocol", ["echo", "discard", "relay"])
def test_idle_timeout_closes_who_says_nothing(twined, protocol):
    daemon = twined(listener("it", protocol, idle_timeout="300ms"))
    client = daemon.connect("it")
    ends_after(client, 0.25)
    daemon.wait_closed(client, "idle_timeout")


def test_idle_timeout_starts_anew_with_every_byte(twined):
    daemon = twined(listener("it", "echo", idle_timeout="400ms"))

    def go_on(step):
        client = daemon.connect("it")
        for _ in range(8):
            time.sleep(0.15)		# the pace is what is tested
            client.sendall(b".")
            assert client.recv(1) == b"."
            step()
        ends_after(client, 0.3)
    despite_stalls(0.3, go_on)


@pytest.mark.parametrize("off", ["none", "0"])
def test_idle_timeout_can_be_off(twined, off):
    daemon = twined(listener("it", "echo", idle_timeout=off) +
                    listener("clock", "echo", idle_timeout="600ms"))
    client, clock = daemon.connect("it"), daemon.connect("clock")
    ends_after(clock, 0.5)
    client.sendall(b"?")
    assert client.recv(1) == b"?"


def test_write_timeout_closes_who_does_not_read(twined):
    daemon = twined(listener("it", "echo", write_timeout="500ms"))
    client = daemon.connect("it")
    while not daemon.lines("closed: "):
        with contextlib.suppress(ConnectionError):
            push(client)	# again, should it have been slow to take all that finds room
    match = daemon.wait_log("closed: write_timeout, .* ([0-9.]+) s")
    assert float(match[1]) >= 0.5


def test_write_timeout_counts_for_who_is_only_sent_to(twined):
    daemon = twined(listener("it", "chargen", write_timeout="500ms"))
    daemon.connect("it")
    daemon.wait_log("closed: write_timeout")


def test_write_timeout_starts_anew_with_progress(twined):
    daemon = twined(listener("it", "chargen", write_timeout="600ms"))

    def go_on(step):
        client = daemon.connect("it", buffer=4096)
        for _ in range(10):
            time.sleep(0.15)		# the pace is what is tested
            assert len(receive(client, 2 << 20)) == 2 << 20
            step()
    despite_stalls(0.4, go_on)


def test_linger_timeout_ends_the_wait_for_the_peers_end(twined):
    daemon = twined(listener("it", "daytime", linger_timeout="300ms"))
    client = daemon.connect("it")
    assert receive_all(client)
    match = daemon.wait_log("closed: linger_timeout, .* ([0-9.]+) s")
    assert 0.25 <= float(match[1]) < 4.5		# by default it is 5 s


def test_within_linger_timeout_what_the_peer_still_sends_does_not_destroy_our_last_bytes(twined):
    daemon = twined(listener("it", "daytime"))
    for _ in range(20):
        client = daemon.connect("it")
        # Unread bytes would make close(2) a reset, and the reset would throw the line away.
        client.sendall(b"x" * 10000)
        assert receive_all(client).endswith(b"\r\n")


def test_a_peer_that_drips_cannot_hold_a_lingering_connection(twined):
    daemon = twined(listener("it", "daytime", linger_timeout="400ms", idle_timeout="1h"))
    client = daemon.connect("it")
    assert receive_all(client)
    started = time.monotonic()
    while not daemon.lines("closed: "):
        try:
            client.sendall(b".")
        except OSError:
            pass
        time.sleep(0.05)		# the pace is what is tested
        assert time.monotonic() - started < PATIENCE
    daemon.wait_log("closed: linger_timeout")


def test_a_peer_that_ends_in_order_is_peer_closed_and_one_that_resets_is_peer_reset(twined):
    daemon = twined(listener("it", "echo"))
    client = daemon.connect("it")
    assert exchange(client, b"hi") == b"hi"
    daemon.wait_closed(client, "peer_closed")
    client = daemon.connect("it")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"
    reset(client)
    match = daemon.wait_log(r"closed: peer_reset, (\d+) bytes in, (\d+) out, [0-9.]+ s$")
    assert match.groups() == ("2", "2")


def test_a_connection_is_closed_for_one_reason_only(twined):
    daemon = twined(listener("it", "echo", idle_timeout="200ms", linger_timeout="100ms"))
    clients = [daemon.connect("it") for _ in range(30)]
    for client in clients[:15]:
        client.close()
    for client in clients[15:]:
        receive_all(client)
    peers = [f"tcp://127.0.0.1:{c.getsockname()[1]}" for c in clients[15:]]
    daemon.stop()
    for peer in peers:
        assert len(daemon.lines(f"{peer}: closed: ")) == 1
    assert len(daemon.lines(": closed: ")) == len(daemon.lines(": open")) == 30


def test_a_timeout_of_a_slow_transfer_does_not_cut_it(twined):
    daemon = twined(listener("it", "echo", idle_timeout="500ms", write_timeout="500ms"))
    data = os.urandom(200000)

    def transfer(_step):
        client = daemon.connect("it")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        assert exchange(client, data) == data
    despite_stalls(0.4, transfer)
