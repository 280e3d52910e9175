"""A graceful stop: what is owed is delivered, what is idle does not delay it."""

import fcntl
import os
import re
import signal
import socket
import struct
import termios
import threading
import time

import pytest

from support import PATIENCE, SLOW, exchange, listener, push, receive, receive_all, wait_for


PATIENT = "[daemon]\nshutdown_timeout = 1h\n"


def stop_begins(daemon):
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("stopping")


def taken(client, pushed):
    """How many of the bytes that were pushed have left the client's own buffer."""
    waiting = struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]
    return pushed - (waiting if client.family == socket.AF_INET else 0)


def test_a_reload_while_it_stops_is_refused_and_told_why(twined):
    daemon = twined(PATIENT + listener("echo", "echo"))
    push(daemon.connect("echo"))
    stop_begins(daemon)
    result = daemon.reload()
    assert (result.returncode, result.stderr) == (1, "not reloading: the daemon is stopping\n")
    daemon.wait_log("warning: not reloading: the daemon is stopping")
    daemon.close_clients()
    daemon.stop()


@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_a_slow_reader_gets_all_of_an_echo_after_the_stop(twined, directory, scheme, half_closed):
    daemon = twined(PATIENT + listener("echo", "echo", f"tcp://127.0.0.1:0, unix://{directory}/s"))
    client = daemon.connect("echo", scheme)
    owed = taken(client, push(client))
    if half_closed:
        client.shutdown(socket.SHUT_WR)
    stop_begins(daemon)
    assert len(receive_all(client)) >= owed > 0
    client.close()
    assert daemon.wait() == 0


def test_a_proxied_transfer_goes_on_to_its_end(twined, server):
    data, got, go = os.urandom(2 << 20), [], threading.Event()

    def reply_at_the_end(connection):
        connection.sendall(b"ready")
        go.wait(PATIENCE)
        got.append(receive_all(connection))
        connection.sendall(b"had " + data)
    daemon = twined(PATIENT + listener("web", "proxy", upstream=server(reply_at_the_end)))
    client = daemon.connect("web")
    assert receive(client, 5) == b"ready"
    pushed = push(client)
    stop_begins(daemon)
    go.set()
    client.setblocking(True)
    client.sendall(b"more, after the stop has begun")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"had " + data
    assert len(got[0]) == pushed + 30
    client.close()
    assert daemon.wait() == 0


def test_what_a_relay_owes_is_delivered(twined):
    daemon = twined(PATIENT + listener("hub", "relay", buffer="4M"))
    reader, sender = daemon.connect("hub"), daemon.connect("hub")
    wait_for(lambda: len(daemon.lines(": open")) == 2, "both have joined")
    text = b"".join(b"%d\n" % n for n in range(100000))
    sender.sendall(text)
    wait_for(lambda: counted(daemon, "bytes in") == len(text), "all is received")
    stop_begins(daemon)
    assert receive_all(reader) == text


def counted(daemon, what):
    since = len(daemon.log)
    daemon.signal(signal.SIGUSR1)
    return int(daemon.wait_log(rf"(\d+) {what}", since)[1])


def test_the_listeners_are_closed_at_once(twined, directory):
    daemon = twined(PATIENT + listener("echo", "echo", f"tcp://127.0.0.1:0, unix://{directory}/s"))
    client = daemon.connect("echo")
    push(client)
    stop_begins(daemon)

    def refuses():
        try:
            daemon.connect("echo").close()
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        return False
    wait_for(refuses, "no new connection")
    receive_all(client)


def test_shutdown_timeout_cuts_the_rest(twined):
    daemon = twined("[daemon]\nshutdown_timeout = 500ms\n" + listener("echo", "echo"))
    client = daemon.connect("echo")
    push(client, quiet_s=2 * SLOW)
    started = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert 0.4 <= time.monotonic() - started < PATIENCE
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    assert daemon.lines("closed: shutdown")


@pytest.mark.parametrize("first, second", [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM"),
                                           ("SIGTERM", "SIGINT")])
def test_a_second_signal_stops_at_once(twined, first, second):
    daemon = twined("[daemon]\nshutdown_timeout = 1h\n" + listener("echo", "echo"))
    push(daemon.connect("echo"))
    daemon.signal(getattr(signal, first))
    daemon.wait_log("stopping")
    started = time.monotonic()
    daemon.signal(getattr(signal, second))
    assert daemon.wait() == 0
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGPIPE"])
def test_signals_up_to_the_very_end_do_not_spoil_the_exit_status(twined, number):
    for _ in range(5):
        daemon = twined(listener("echo", "echo"))
        daemon.signal(signal.SIGTERM)
        while daemon.process.poll() is None:
            daemon.signal(getattr(signal, number))
        assert daemon.process.returncode == 0


@pytest.mark.parametrize("protocol", ["echo", "discard", "relay"])
def test_idle_connections_do_not_delay_the_stop(twined, protocol):
    daemon = twined(PATIENT + listener("it", protocol))
    clients = [daemon.connect("it") for _ in range(20)]
    wait_for(lambda: len(daemon.lines(": open")) == 20, "all are connected")
    started = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert time.monotonic() - started < PATIENCE
    for client in clients:
        assert client.recv(10) == b""
    assert len(daemon.lines("closed: shutdown")) == 20


def test_a_proxied_connection_is_never_told_of_an_end_that_was_none(twined, server):
    ends = []

    def note_the_end(connection):
        try:
            ends.append(receive_all(connection))
        except ConnectionResetError:
            ends.append("reset")
    daemon = twined("[daemon]\nshutdown_timeout = 500ms\n"
                    + listener("web", "proxy", upstream=server(note_the_end)))
    client = daemon.connect("web")
    client.sendall(b"half a transfer")
    wait_for(lambda: counted(daemon, "bytes in") == 15, "it is proxied")
    daemon.signal(signal.SIGTERM)
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    assert daemon.wait() == 0
    wait_for(lambda: ends == ["reset"], "the server learns of the cut")


def test_a_chargen_stream_ends_in_order(twined):
    daemon = twined(PATIENT + listener("gen", "chargen"))
    client = daemon.connect("gen")
    receive(client, 1 << 20)
    stop_begins(daemon)
    receive_all(client)			# an end, not a reset
    client.close()
    assert daemon.wait() == 0


def test_nothing_is_left_behind(twined, directory):
    daemon = twined(listener("a", "echo", f"unix://{directory}/a, unixgram://{directory}/b"))
    daemon.connect("a", "unix")
    daemon.stop()
    assert os.listdir(directory) == []


def test_a_reload_during_the_stop_harms_nothing(twined):
    daemon = twined(listener("echo", "echo"), errors="reload")
    client = daemon.connect("echo")
    owed = taken(client, push(client))
    stop_begins(daemon)
    daemon.signal(signal.SIGHUP)
    result = daemon.reload()
    assert result.returncode == 1
    assert len(receive_all(client)) >= owed


def test_a_stop_in_the_midst_of_connecting_clients_ends_well(twined):
    daemon = twined("[daemon]\nthreads = 2\n" + listener("echo", "echo"))
    done = threading.Event()
    address = daemon.address("echo")

    def connect():
        while not done.is_set():
            try:
                exchange(daemon.connect_to(address), b"hi")
            except OSError:
                pass
    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(daemon.lines("closed: peer_closed")) > 50, "they come and go")
    daemon.signal(signal.SIGTERM)
    try:
        assert daemon.wait() == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()
    opened = {re.search(r"(tcp://\S+): open", line)[1] for line in daemon.lines(": open$")}
    closed = {re.search(r"(tcp://\S+): closed", line)[1] for line in daemon.lines(": closed: ")}
    assert opened == closed
