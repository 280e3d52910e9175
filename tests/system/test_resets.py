"""Resets and failures of one side, as the other side learns of them through a proxy."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from ends import (PERIOD, WAYS, fill, pattern, receive_pattern, receive_until_reset, send_pattern,
                  unacknowledged)
from servers import program
from support import PATIENCE, SLOW, receive, receive_all, reset, wait_for

ROUNDS = 20


def reset_in_mid_transfer(sender, receiver):
    """The sender is reset while it sends: the receiver learns that this is no end of its stream."""
    stopped = threading.Event()

    def send():
        with contextlib.suppress(OSError):
            while not stopped.is_set():
                sender.sendall(pattern(0, PERIOD))
        reset(sender)
    thread = threading.Thread(target=send)
    thread.start()
    assert receive_pattern(receiver, 0, 3 << 20) == 3 << 20
    stopped.set()
    # It takes some more, so that the sender's last sendall ends.
    rest = (3 << 20) % PERIOD
    receive_until_reset(receiver, rest)
    thread.join()


def test_a_client_that_resets_in_mid_transfer_resets_its_server(routes):
    route, = routes("tcp-tcp")
    for _ in range(ROUNDS):
        client, upstream = route.connect()
        reset_in_mid_transfer(client, upstream)
    wait_for(lambda: len(route.daemon.lines("closed: peer_reset, ")) == ROUNDS, "the reasons")


def test_a_server_that_resets_in_mid_transfer_resets_its_client(routes):
    route, = routes("tcp-tcp")
    for _ in range(ROUNDS):
        client, upstream = route.connect()
        reset_in_mid_transfer(upstream, client)
    wait_for(lambda: len(route.daemon.lines("closed: upstream_reset, ")) == ROUNDS, "the reasons")


@pytest.mark.parametrize("way", ["unix-tcp", "tcp-unix"])
def test_a_unix_end_that_leaves_unread_data_behind_resets_the_other(routes, way):
    """That is a unix socket's reset: the reader has gone while there was something to read."""
    route, = routes(way)
    client, upstream = route.connect()
    leaver, other = (client, upstream) if way == "unix-tcp" else (upstream, client)
    leaver.sendall(b"hi")
    assert receive(other, 2) == b"hi"
    other.sendall(b"unread")
    wait_for(lambda: select.select([leaver], [], [], 0)[0], "it has come")
    leaver.close()
    with pytest.raises(ConnectionResetError):
        receive_all(other)


@pytest.mark.parametrize("way", ["tcp-unix", "unix-unix"])
def test_a_unix_server_of_a_client_that_resets_is_left_altogether(routes, way):
    """A unix socket cannot be reset, but both directions can end, which a half-close is not."""
    route, = routes(way)
    client, upstream = route.connect()
    client.sendall(b"hi")
    assert receive(upstream, 2) == b"hi"
    if way == "unix-unix":
        upstream.sendall(b"unread")
        wait_for(lambda: select.select([client], [], [], 0)[0], "it has come")
    reset(client)
    watch = select.poll()
    watch.register(upstream, 0)
    assert watch.poll(PATIENCE * 1000)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        upstream.sendall(b"x" * 100000)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_server_sent_before_its_reset_arrives_before_the_reset(routes, way):
    route, = routes(way)
    for size in (1, 5000, 50000):
        client, upstream = route.connect()
        client.sendall(b"unread")
        wait_for(lambda: select.select([upstream], [], [], 0)[0], "it has come")
        send_pattern(upstream, 0, size)
        wait_for(lambda: unacknowledged(upstream) == 0, "the proxy's system has taken it")
        reset(upstream)
        if way.startswith("tcp"):
            assert receive_until_reset(client, 0) == size
        else:
            assert receive_pattern(client, 0) == size
    wait_for(lambda: len(route.daemon.lines("closed: upstream_reset, ")) == 3, "the reasons")


@pytest.mark.parametrize("way", ["tcp-tcp", "tcp-unix"])
def test_an_early_answer_is_not_lost_to_the_reset_behind_it(routes, way):
    """A server refuses an upload half-way: it answers, and closes with the rest unread."""
    route, = routes(way)
    for _ in range(ROUNDS):
        client, upstream = route.connect()
        thread = threading.Thread(target=upload, args=(client,))
        thread.start()
        assert receive_pattern(upstream, 0, 100000) == 100000
        send_pattern(upstream, 99, 1000)
        upstream.close()
        thread.join()
        assert receive_pattern(client, 99, 1000) == 1000


def upload(client):
    """Sends until that fails; the reset is told by that, and not once more to who then reads."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while True:
            client.sendall(pattern(0, PERIOD))


@pytest.mark.parametrize("both_stall", [False, True])
def test_a_reset_behind_full_buffers_comes_after_what_is_in_them(routes, both_stall):
    """A client reads nothing until its server, which can send no more, resets."""
    route, = routes("tcp-tcp")
    client, upstream = route.connect()
    if both_stall:
        fill(client, 0)
    filled = fill(upstream, 0)
    owed = filled - unacknowledged(upstream)
    reset(upstream)
    assert owed <= receive_until_reset(client, 0) <= filled


def test_two_ends_that_both_go_while_neither_reads_leave_nothing_behind(routes):
    """Each is owed what the other has sent, and nobody is left to take it."""
    route, = routes("tcp-tcp")
    client, upstream = route.connect()
    fill(client, 0)
    fill(upstream, 0)
    reset(client)
    reset(upstream)
    route.daemon.wait_log(": closed: ", seconds=3 * SLOW)


def test_a_reset_after_a_half_close_is_no_second_half_close(routes):
    route, = routes("tcp-tcp")
    client, upstream = route.connect()
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(upstream) == b"request"
    upstream.sendall(b"half an ans")
    assert receive(client, 11) == b"half an ans"
    reset(upstream)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_clients_reset_after_its_servers_half_close_is_passed_on(routes):
    route, = routes("tcp-tcp")
    client, upstream = route.connect()
    upstream.sendall(b"welcome")
    upstream.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"welcome"
    client.sendall(b"half a requ")
    assert receive(upstream, 11) == b"half a requ"
    reset(client)
    with pytest.raises(ConnectionResetError):
        upstream.recv(1)


@pytest.mark.parametrize("upstream", ["refusing", "stale", "missing"])
@pytest.mark.parametrize("front", ["tcp", "unix"])
def test_a_refused_upstream_is_told_as_a_reset(forward, directory, upstream, front):
    with socket.socket() as bound, socket.socket(socket.AF_UNIX) as stale:
        bound.bind(("127.0.0.1", 0))
        stale.bind(f"{directory}/stale")
        address = {"refusing": "tcp://127.0.0.1:%d" % bound.getsockname()[1],
                   "stale": f"unix://{directory}/stale",
                   "missing": f"unix://{directory}/missing"}[upstream]
        daemon = forward(address, f"{directory}/front")
        for _ in range(5):
            if front == "tcp":
                with pytest.raises(ConnectionResetError):
                    receive_all(daemon.connect("web"))
            else:
                with contextlib.suppress(ConnectionResetError):
                    assert receive_all(daemon.connect("web", "unix")) == b""
        wait_for(lambda: len(daemon.lines("closed: upstream_refused, ")) == 5, "the reasons")


# A server that others may kill: sends without end to who says "s", reads without end from others.
SERVER = """
import socket, sys, threading
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def serve(peer):
    if peer.recv(1) == b"s":
        while True:
            peer.sendall(b"x" * 65536)
    while peer.recv(65536):
        pass
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def mortal(real_server):
    """A server in a process of its own, that can be started again on the same port."""
    it = real_server()
    it.start(lambda it: [sys.executable, "-c", SERVER, str(it.port)])
    return it


def unread_at(server):
    """How many connections of a server have something that it has not read."""
    with open(f"/proc/{server.process.pid}/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return len([row for row in rows if row[1].endswith(":%04X" % server.port) and row[3] == "01"
                and int(row[4].partition(":")[2], 16) > 0])


def test_a_server_killed_while_it_reads_resets_its_clients(forward, mortal):
    daemon = forward(mortal.address())
    clients = [daemon.connect("web") for _ in range(8)]
    for client in clients:
        client.sendall(b"r" + b"x" * (1 << 20))
    os.kill(mortal.process.pid,
            signal.SIGSTOP)		# so that there is something unread when it dies
    for client in clients:
        fill(client, 0, 0.05)
    wait_for(lambda: unread_at(mortal) == len(clients), "each has something unread")
    mortal.kill()
    for client in clients:
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_server_killed_while_it_sends_leaves_nobody_waiting(forward, mortal):
    daemon = forward(mortal.address())
    clients = [daemon.connect("web") for _ in range(8)]
    for client in clients:
        client.sendall(b"s")
        assert receive(client, 1 << 20) == b"x" * (1 << 20)
    mortal.kill()
    for client in clients:
        with contextlib.suppress(ConnectionResetError):
            receive_all(client)


def test_a_server_that_was_killed_is_used_again_when_it_is_back(forward, mortal):
    daemon = forward(mortal.address())
    client = daemon.connect("web")
    client.sendall(b"s")
    assert receive(client, 1) == b"x"
    mortal.kill()
    with contextlib.suppress(ConnectionResetError):
        receive_all(client)
    with pytest.raises(ConnectionResetError):
        receive_all(daemon.connect("web"))
    assert mortal.start_again()
    client = daemon.connect("web")
    client.sendall(b"s")
    assert receive(client, 100) == b"x" * 100


def test_clients_of_redis_end_when_it_is_killed(forward, real_server):
    """They wait for what will never come, and are told so. (redis-benchmark would spin on a reset.)"""
    redis = real_server().start(lambda it: [
        "redis-server", "--bind", "127.0.0.1", "--port", str(it.port), "--dir", it.directory,
        "--save", ""])
    daemon = forward(redis.address())
    client = program("redis-cli")

    def blocked():
        result = subprocess.run([client, "-p", str(redis.port), "info", "clients"],
                                capture_output=True, text=True, timeout=PATIENCE)
        return "blocked_clients:8\r" in result.stdout or "blocked_clients:8\n" in result.stdout
    command = [client, "-p", str(daemon.port("web")), "blpop", "nothing", "0"]
    waiting = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for _ in range(8)]
    try:
        wait_for(blocked, "all wait")
        redis.kill()
        assert 0 not in [one.wait(PATIENCE) for one in waiting]
    finally:
        for one in waiting:
            one.kill()
            one.wait()


@pytest.mark.parametrize("way", ["tcp-tcp", "tcp-unix"])
def test_a_server_that_accepts_late_gets_all_that_was_sent_meanwhile(routes, way):
    route, = routes(way)
    client = route.dial()
    sent = fill(client, 0)
    finish = threading.Thread(target=lambda: (send_pattern(client, sent, 1 << 20),
                                              client.shutdown(socket.SHUT_WR)))
    finish.start()
    time.sleep(1)			# the server's delay is what is tested
    upstream = route.accept()
    assert receive_pattern(upstream, 0) == sent + (1 << 20)
    finish.join()
    upstream.sendall(b"late")
    upstream.close()
    assert receive_all(client) == b"late"


@pytest.mark.parametrize("way", ["tcp-tcp", "tcp-unix"])
def test_a_server_whose_backlog_is_full_for_a_while_gets_all_its_clients(routes, way):
    """A client that connects itself waits until there is room: so does the proxy for it."""
    route, = routes(way, backlog=1, connect_timeout="1m")
    clients = [route.dial() for _ in range(8)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    time.sleep(0.5)			# the server's delay is what is tested
    numbers = set()
    for _ in clients:
        upstream = route.accept()
        numbers.add(upstream.recv(1))
        upstream.sendall(b"hello")
        upstream.close()
    assert len(numbers) == len(clients)
    for client in clients:
        assert receive_all(client) == b"hello"
