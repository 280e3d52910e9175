"""proxy: a client's way to an upstream, over refusals, silence and waiting; it notices nothing."""

import hashlib
import os
import re
import resource
import signal
import socket
import threading
import time

import pytest

from support import (PATIENCE, SANITIZED, SLOW, despite_stalls, exchange, listener, receive,
                     receive_all, reset, wait_for)


def proxy(twined, upstream, listen="tcp://127.0.0.1:0", *, head="", options=None, **keys):
    return twined(head + listener("web", "proxy", listen, upstream=upstream, **keys),
                  **(options or {}))


def echo(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def speak_first(connection):
    connection.sendall(b"welcome")
    echo(connection)


def seconds_until_reset(client):
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    return time.monotonic() - started


def expect_reset(daemon, reason):
    """A client that is reset: at the earliest while it connects."""
    since = len(daemon.log)
    with pytest.raises(ConnectionResetError):
        receive_all(daemon.connect("web"))
    daemon.wait_log(f"closed: {reason}, 0 bytes in, 0 out", since)


def wait_nothing_open(daemon, sockets):
    """All that a client has cost is given back: a place, its upstream's count, descriptors."""
    def summary():
        since = len(daemon.log)
        daemon.signal(signal.SIGUSR1)
        place = daemon.wait_log(r"web: (\d+) open", since)[1]
        upstream = daemon.wait_log(r"web: upstream .*, (\d+) open", since)[1]
        return place == "0" and upstream == "0"
    wait_for(summary, "no connection is open")
    wait_for(lambda: count_sockets(daemon) <= sockets, "its descriptors are closed")


def count_sockets(daemon):
    return len([name for name in daemon.descriptors() if name.startswith("socket:")])


def settled_sockets(daemon):
    """How many there are at rest: the one of a notification is there for a moment only."""
    return wait_for_quiet(lambda: count_sockets(daemon), 0.2)


def wait_dialled(daemon, sockets):
    """A client is there, and an upstream that does not answer is dialled for it."""
    wait_for(lambda: count_sockets(daemon) == sockets + 2, "an upstream is dialled")


def wait_for_quiet(value, quiet_s=0.2):
    """Waits until a value stays as it is; returns it."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        time.sleep(0.01)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


def waits(daemon, count=1):
    wait_for(lambda: len(daemon.lines(": waits for an upstream$")) >= count, f"{count} wait")


def refusals(daemon):
    return len(daemon.lines("upstream tcp://.*: Connection refused"))


# ---- The next upstream, before the client notices anything

@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_each_byte_arrives_in_order_over_others_that_refuse_or_are_silent(
        twined, server, refusing, silent, directory, listen):
    upstreams = f"{refusing}, {silent}, unix://{directory}/nobody, {server(echo)}"
    daemon = proxy(twined, upstreams, f"tcp://127.0.0.1:0, unix://{directory}/s",
                   connect_timeout=f"{int(300 * SLOW)}ms", max_fails="none")
    data = os.urandom(1 << 20)
    for _ in range(8):
        assert exchange(daemon.connect("web", listen), data) == data


def test_a_server_that_speaks_first_is_heard_over_others_that_refuse(twined, server, refusing):
    daemon = proxy(twined, f"{refusing}, {server(speak_first)}", max_fails="none")
    for _ in range(4):
        assert receive(daemon.connect("web"), 7) == b"welcome"


def test_each_is_tried_once_and_then_the_client_is_reset(twined, refusing, directory):
    daemon = proxy(twined, f"{refusing}, unix://{directory}/nobody", max_fails="none")
    sockets = settled_sockets(daemon)
    for count in range(1, 4):
        expect_reset(daemon, "upstream_refused")
        assert refusals(daemon) == count
        assert len(daemon.lines("upstream unix://.*: No such file or directory")) == count
    wait_nothing_open(daemon, sockets)


def test_the_log_says_which_upstream_a_client_has_got(twined, server, directory):
    first, second = server(speak_first), server(speak_first, f"{directory}/up")
    daemon = proxy(twined, f"{first}, {second}")
    for _ in range(2):
        client = daemon.connect("web")
        assert receive(client, 7) == b"welcome"
        peer = re.escape("tcp://%s:%d" % client.getsockname())
        match = daemon.wait_log(f"info: web tcp://127.0.0.1:[0-9]+: {peer}: upstream (.*)$")
        assert match[1] in (first, second)


def test_what_an_upstream_does_at_once_after_it_has_accepted_is_passed_on(twined, server):
    daemon = proxy(twined, server(lambda connection: None))
    sockets = settled_sockets(daemon)
    client = daemon.connect("web")
    assert receive_all(client) == b""
    daemon.wait_closed(client, "peer_closed")
    wait_nothing_open(daemon, sockets)
    daemon = proxy(twined, server(reset))
    with pytest.raises(ConnectionResetError):
        receive_all(daemon.connect("web"))
    daemon.wait_log("closed: upstream_(reset|refused)")	# while we connect, at the earliest


def test_bind_is_where_upstreams_are_dialled_from(twined, server):
    def tell(connection):
        connection.sendall(connection.getpeername()[0].encode())
    daemon = proxy(twined, server(tell), bind="127.0.0.9")
    assert receive_all(daemon.connect("web")) == b"127.0.0.9"


# ---- Waiting for an upstream

def test_a_client_is_held_until_an_upstream_starts(twined, starting):
    upstream = starting(echo)
    daemon = proxy(twined, upstream.address, wait_for_upstream="30s")
    data = os.urandom(1 << 20)
    upstream.start_in(1)
    started = time.monotonic()
    assert exchange(daemon.connect("web"), data) == data
    assert time.monotonic() - started >= 1
    assert len(daemon.lines(": waits for an upstream$")) == 1


def test_retries_are_few_and_end_with_the_time(twined, refusing):
    daemon = proxy(twined, refusing, wait_for_upstream="2s", options={"args": ["-v"]})
    sockets = settled_sockets(daemon)
    assert seconds_until_reset(daemon.connect("web")) > 1.9
    daemon.wait_log("closed: upstream_refused, 0 bytes in, 0 out")
    # One at once, one at the end, and those after pauses of up to 0.1, 0.2, 0.4, 0.8, 1.6 s,
    # of which a slow machine makes fewer.
    assert 3 <= refusals(daemon) <= 40
    wait_nothing_open(daemon, sockets)


def test_a_silent_upstream_is_waited_for_until_the_time_is_over(twined, silent):
    daemon = proxy(twined, silent, connect_timeout="300ms", wait_for_upstream="1s")
    sockets = settled_sockets(daemon)
    assert seconds_until_reset(daemon.connect("web")) > 0.9
    daemon.wait_log("closed: connect_timeout, 0 bytes in, 0 out")
    wait_nothing_open(daemon, sockets)


def test_a_short_wait_leaves_each_upstream_its_first_attempt(twined, server, silent):
    daemon = proxy(twined, f"{silent}, {server(speak_first)}", connect_timeout="400ms",
                   wait_for_upstream="50ms", max_fails="none")
    for _ in range(2):
        assert receive(daemon.connect("web"), 7) == b"welcome"


def test_what_a_waiting_client_sends_and_its_end_arrive_whole(twined, starting):
    digests = []

    def digest(connection):
        digests.append(hashlib.sha256(receive_all(connection)).digest())
        connection.sendall(b"done")
    upstream = starting(digest)
    daemon = proxy(twined, upstream.address, wait_for_upstream="1m")
    client = daemon.connect("web")
    waits(daemon)
    before = daemon.rss()
    data = os.urandom(10 << 20)
    got = []
    reader = threading.Thread(target=lambda: got.append(exchange(client, data)))
    reader.start()
    wait_for(lambda: unread(daemon) > 1 << 16, "the kernel holds what it sends")
    wait_for_quiet(lambda: unread(daemon))
    assert SANITIZED or daemon.rss() - before < 1 << 20
    upstream.start()
    reader.join(PATIENCE)
    assert got == [b"done"] and digests == [hashlib.sha256(data).digest()]


def unread(daemon):
    """How many bytes of clients wait in the kernel."""
    port = "%04X" % daemon.port("web")
    with open(f"/proc/{daemon.pid}/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows
               if row[1].endswith(":" + port) and row[3] == "01")


def test_a_half_close_while_waiting_is_none_of_the_connection(twined, starting):
    upstream = starting(lambda connection: connection.sendall(b"had " + receive_all(connection)))
    daemon = proxy(twined, upstream.address, wait_for_upstream="1m")
    client = daemon.connect("web")
    client.sendall(b"this")
    client.shutdown(socket.SHUT_WR)
    waits(daemon)
    upstream.start_in(0.3)
    assert receive_all(client) == b"had this"


def test_the_idle_timeout_begins_with_the_upstream(twined, starting):
    upstream = starting(speak_first)
    daemon = proxy(twined, upstream.address, wait_for_upstream="1m", idle_timeout="300ms",
                   linger_timeout="100ms")
    client = daemon.connect("web")
    waits(daemon)
    upstream.start_in(0.8)
    assert receive_all(client) in (b"welcome", b"")		# which may come too late
    match = daemon.wait_log(r"closed: idle_timeout, .* ([0-9.]+) s$")
    assert float(match[1]) > 1


@pytest.mark.parametrize("sends", [b"", b"x" * 100000])
def test_a_client_that_resets_while_it_waits_costs_nothing_more(twined, refusing, sends):
    daemon = proxy(twined, refusing, wait_for_upstream="1m")
    sockets = settled_sockets(daemon)
    client = daemon.connect("web")
    client.sendall(sends)
    waits(daemon)
    reset(client)
    daemon.wait_log("closed: peer_reset, 0 bytes in, 0 out")
    wait_nothing_open(daemon, sockets)


def test_a_client_that_resets_while_we_dial_costs_nothing_more(twined, silent):
    daemon = proxy(twined, silent, connect_timeout="1m")
    sockets = settled_sockets(daemon)
    client = daemon.connect("web")
    wait_dialled(daemon, sockets)
    reset(client)
    daemon.wait_log("closed: peer_reset, 0 bytes in, 0 out")
    wait_nothing_open(daemon, sockets)


def test_a_unix_client_that_goes_while_it_waits_costs_nothing_more(twined, refusing, directory):
    daemon = proxy(twined, refusing, f"unix://{directory}/s", wait_for_upstream="1m")
    sockets = settled_sockets(daemon)
    daemon.connect("web", "unix")
    waits(daemon)
    daemon.close_clients()
    daemon.wait_log("closed: peer_closed, 0 bytes in, 0 out")
    wait_nothing_open(daemon, sockets)


def test_what_a_unix_client_has_left_behind_is_delivered(twined, starting, directory):
    got = []
    upstream = starting(lambda connection: got.append(receive_all(connection)))
    daemon = proxy(twined, upstream.address, f"unix://{directory}/s", wait_for_upstream="1m")
    daemon.connect("web", "unix").sendall(b"last words")
    daemon.close_clients()
    waits(daemon)
    upstream.start_in(0.5)
    wait_for(lambda: got == [b"last words"], "it has arrived")


@pytest.mark.parametrize("sends", [b"", b"unread"])
def test_a_stop_ends_the_waiting_at_once(twined, refusing, sends):
    daemon = proxy(twined, refusing, wait_for_upstream="1h",
                   head="[daemon]\nshutdown_timeout = 1h\n")
    client = daemon.connect("web")
    client.sendall(sends)
    waits(daemon)
    started = time.monotonic()
    daemon.signal(signal.SIGTERM)
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    assert daemon.wait() == 0
    assert time.monotonic() - started < PATIENCE
    assert daemon.lines("closed: shutdown, 0 bytes in, 0 out")


def test_a_client_whose_upstream_is_dialled_is_still_served_after_a_stop(twined, server, silent):
    daemon = proxy(twined, f"{silent}, {server(echo)} backup", connect_timeout="700ms")
    sockets = settled_sockets(daemon)
    client = daemon.connect("web")
    client.sendall(b"hi")
    wait_dialled(daemon, sockets)
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("stopping")
    assert receive(client, 2) == b"hi"
    client.close()
    assert daemon.wait() == 0


def test_a_reload_leaves_those_who_wait_to_what_they_came_for(twined, starting, server):
    old = starting(lambda connection: connection.sendall(b"old"))
    new = server(lambda connection: connection.sendall(b"new"))
    port = "tcp://127.0.0.1:0"
    daemon = proxy(twined, old.address, port, wait_for_upstream="1m")
    client = daemon.connect("web")
    waits(daemon)
    assert daemon.reload(listener("web", "proxy", port, upstream=new)).returncode == 0
    assert receive_all(daemon.connect("web")) == b"new"
    old.start()
    assert receive_all(client) == b"old"


def test_a_removed_listener_leaves_nothing_of_those_who_wait(twined, refusing):
    daemon = proxy(twined, refusing, wait_for_upstream="1500ms")
    client = daemon.connect("web")
    waits(daemon)
    assert daemon.reload(listener("echo", "echo")).returncode == 0
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    daemon.wait_log("closed: upstream_refused, 0 bytes in, 0 out")
    def counted():
        assert daemon.reload().returncode == 0
        return daemon.lines("reloaded: 1 listener, 0 connections")
    wait_for(counted, "nothing is counted")


def test_many_who_wait_cost_little_cpu_and_are_all_served(twined, starting):
    count = 200 if SANITIZED else 2000
    upstream = starting(speak_first)
    daemon = proxy(twined, upstream.address, head="[daemon]\nlog_level = notice\n",
                   wait_for_upstream="1m")
    sockets = settled_sockets(daemon)
    clients = [daemon.connect("web") for _ in range(count)]

    def is_calm():
        """
        In the end most pause for a second or more; each retry costs what a refused
        connection does.
        """
        before, started = daemon.cpu_time(), time.monotonic()
        time.sleep(1.5)		# the span that is measured
        return (daemon.cpu_time() - before) / (time.monotonic() - started) < 0.2 * SLOW
    wait_for(is_calm, "little of the CPU is used")
    upstream.start()
    for client in clients:
        assert receive(client, 7) == b"welcome"
        client.close()
    wait_nothing_open(daemon, sockets)


def test_who_waits_is_served_soon_after_a_check_has_found_an_upstream_up(twined, starting):
    def start_and_be_served(step):
        upstream = starting(speak_first)
        daemon = proxy(twined, upstream.address, wait_for_upstream="1m", check="connect",
                       check_interval="50ms", max_fails=1)
        clients = [daemon.connect("web") for _ in range(20)]
        # Pauses of up to 3.2 s, of which some are that long.
        time.sleep(3)
        step()
        upstream.start()
        started = time.monotonic()
        for client in clients:
            assert receive(client, 7) == b"welcome"
            step()
        assert time.monotonic() - started < 1
    # Who is woken late looks as if the machine had been slow, but every time.
    despite_stalls(0.3, start_and_be_served)


def test_a_backlog_that_overflows_is_waited_for(twined, directory):
    """A unix socket says at once that its backlog is full; that is no refusal."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{directory}/up")
    listening.listen(1)
    done = threading.Event()

    def accept_slowly():
        while not done.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"welcome")
            time.sleep(0.005)		# the pace is what is tested
    thread = threading.Thread(target=accept_slowly)
    thread.start()
    try:
        daemon = proxy(twined, f"unix://{directory}/up", connect_timeout="1m")
        clients = [daemon.connect("web") for _ in range(100)]
        for client in clients:
            assert receive_all(client) == b"welcome"
    finally:
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()


def test_a_storm_of_clients_is_served_by_a_short_tcp_backlog(twined, starting):
    upstream = starting(echo)
    upstream.start(backlog=16)
    daemon = proxy(twined, upstream.address, connect_timeout="1m")
    clients = [daemon.connect("web") for _ in range(60)]
    # They speak: to one that only listens, a cookie (tcp_syncookies) may promise what is not kept.
    for client in clients:
        client.sendall(b"hi")
    for client in clients:
        assert receive(client, 2) == b"hi"
        client.close()


# ---- Short of descriptors

def is_welcome(client, daemon):
    """Whether a client is welcome: it is, or else the daemon says that it has no descriptor."""
    try:
        assert client.recv(7) == b"welcome"
        return "yes"
    except TimeoutError:
        return daemon.lines("accept: Too many open files|: waits for an upstream$") and "no"


def test_without_a_descriptor_a_client_waits_for_one(twined, server):
    daemon = proxy(twined, server(speak_first), wait_for_upstream="1m",
                   head="[daemon]\nthreads = 1\nmax_connections = 1000\n",
                   options={"limits": {resource.RLIMIT_NOFILE: 64},
                            "errors": "accept: Too many open files"})
    served, last = [], None
    for _ in range(60):
        last = daemon.connect("web")
        last.settimeout(0.05)
        if not wait_for(lambda: is_welcome(last, daemon), "an answer or none") == "yes":
            break
        served.append(last)
    assert len(served) > 10
    if not daemon.lines(": waits for an upstream$"):
        return		# the last descriptor went to a pair: it waits to be accepted
    for client in served[:3]:
        client.close()
    last.settimeout(PATIENCE)
    assert receive(last, 7) == b"welcome"
    assert not daemon.lines("closed: no_resources|warning: .* down")
