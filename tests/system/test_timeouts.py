"""The time-outs, each with the word that the log has for it."""

import os
import socket
import time

import pytest

from support import SLOW, exchange, listener, push, receive, receive_all, reset


def ends_within(client, least, most):
    started = time.monotonic()
    try:
        receive_all(client)
    except ConnectionResetError:
        pass
    seconds = time.monotonic() - started
    assert least <= seconds < most * SLOW, seconds


@pytest.mark.parametrize("protocol", ["echo", "discard", "relay"])
def test_idle_timeout_closes_who_says_nothing(twined, protocol):
    daemon = twined(listener("it", protocol, idle_timeout="300ms"))
    client = daemon.connect("it")
    ends_within(client, 0.25, 1.5)
    daemon.wait_closed(client, "idle_timeout")


def test_idle_timeout_starts_anew_with_every_byte(twined):
    daemon = twined(listener("it", "echo", idle_timeout="400ms"))
    client = daemon.connect("it")
    for _ in range(8):
        time.sleep(0.15)		# the pace is what is tested
        client.sendall(b".")
        assert client.recv(1) == b"."
    ends_within(client, 0.3, 1.5)


@pytest.mark.parametrize("off", ["none", "0"])
def test_idle_timeout_can_be_off(twined, off):
    daemon = twined(listener("it", "echo", idle_timeout=off) +
                    listener("clock", "echo", idle_timeout="600ms"))
    client, clock = daemon.connect("it"), daemon.connect("clock")
    ends_within(clock, 0.5, 2)
    client.sendall(b"?")
    assert client.recv(1) == b"?"


def test_write_timeout_closes_who_does_not_read(twined):
    daemon = twined(listener("it", "echo", write_timeout="500ms"))
    client = daemon.connect("it")
    push(client)
    match = daemon.wait_log("closed: write_timeout, .* ([0-9.]+) s", seconds=3 * SLOW)
    assert float(match[1]) >= 0.5


def test_write_timeout_counts_for_who_is_only_sent_to(twined):
    daemon = twined(listener("it", "chargen", write_timeout="500ms"))
    daemon.connect("it")
    daemon.wait_log("closed: write_timeout", seconds=4 * SLOW)


def test_write_timeout_starts_anew_with_progress(twined):
    daemon = twined(listener("it", "chargen", write_timeout="600ms"))
    client = daemon.connect("it", buffer=4096)
    for _ in range(10):
        time.sleep(0.15)		# the pace is what is tested
        receive(client, 2 << 20)
    assert not daemon.lines("closed: ")


def test_linger_timeout_ends_the_wait_for_the_peers_end(twined):
    daemon = twined(listener("it", "daytime", linger_timeout="300ms"))
    client = daemon.connect("it")
    assert receive_all(client)
    match = daemon.wait_log("closed: linger_timeout, .* ([0-9.]+) s", seconds=3 * SLOW)
    assert 0.25 <= float(match[1]) < 1.5 * SLOW


def test_within_linger_timeout_what_the_peer_still_sends_does_not_destroy_our_last_bytes(twined):
    daemon = twined(listener("it", "daytime"))
    for _ in range(20):
        client = daemon.connect("it")
        # Unread bytes would make close(2) a reset, and the reset would throw the line away.
        client.sendall(b"x" * 10000)
        assert receive_all(client).endswith(b"\r\n")


def test_a_peer_that_drips_cannot_hold_a_lingering_connection(twined):
    daemon = twined(listener("it", "daytime", linger_timeout="400ms", idle_timeout="1m"))
    client = daemon.connect("it")
    assert receive_all(client)
    started = time.monotonic()
    while not daemon.lines("closed: "):
        try:
            client.sendall(b".")
        except OSError:
            pass
        time.sleep(0.05)		# the pace is what is tested
        assert time.monotonic() - started < 2 * SLOW
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
    client = daemon.connect("it")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    data = os.urandom(200000)
    assert exchange(client, data) == data
