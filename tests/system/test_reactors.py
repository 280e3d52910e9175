"""Threads and readiness backends: every protocol works on each, and connections are spread."""

import os
import socket
import threading

import pytest

from support import exchange, listener, receive, receive_all, wait_for

EVERYTHING = ("echo", "discard", "chargen", "daytime", "time", "qotd", "relay")


@pytest.mark.parametrize("backend", ["epoll", "poll", "select"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_protocol_works(twined, server, directory, backend, threads):
    def echo(connection):
        while data := connection.recv(1 << 16):
            connection.sendall(data)
    config = f"[daemon]\nreactor = {backend}\nthreads = {threads}\n"
    for protocol in EVERYTHING:
        keys = {"quote": "q"} if protocol == "qotd" else {}
        config += listener(protocol, protocol, "tcp://127.0.0.1:0, udp://127.0.0.1:0, "
                           f"unix://{directory}/{protocol}", **keys)
    daemon = twined(config + listener("proxy", "proxy", upstream=server(echo)))
    data = os.urandom(1 << 20)
    for name in ("echo", "proxy"):
        results = []
        clients = [threading.Thread(target=lambda where=name: results.append(
            exchange(daemon.connect(where), data) == data)) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert results == [True] * 8
    assert exchange(daemon.connect("echo", "unix"), data) == data
    assert exchange(daemon.connect("discard"), data) == b""
    assert receive(daemon.connect("chargen"), 4) == b' !"#'
    assert len(receive_all(daemon.connect("time"))) == 4
    assert receive_all(daemon.connect("qotd")).strip() == b"q"
    assert receive_all(daemon.connect("daytime")).endswith(b"\r\n")
    members = [daemon.connect("relay") for _ in range(6)]
    wait_for(lambda: len(daemon.lines("relay .*: open")) == 6, "all have joined")
    members[0].sendall(b"line\n")
    assert all(receive(member, 5) == b"line\n" for member in members[1:])
    client = daemon.connect("echo", "udp")
    client.send(b"datagram")
    assert client.recv(100) == b"datagram"


def busy_threads(daemon, before):
    """The threads that have used CPU time since."""
    return [task for task, used in thread_times(daemon).items()
            if used - before.get(task, 0) > 0.005]


def thread_times(daemon):
    times = {}
    for task in os.listdir(f"/proc/{daemon.pid}/task"):
        with open(f"/proc/{daemon.pid}/task/{task}/schedstat", encoding="ascii") as file:
            times[task] = int(file.read().split()[0]) / 1e9
    return times


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_connections_are_spread_over_the_threads(twined, directory, threads, scheme):
    daemon = twined(f"[daemon]\nthreads = {threads}\n"
                    + listener("echo", "echo", f"tcp://127.0.0.1:0, unix://{directory}/s"))
    clients = [daemon.connect("echo", scheme) for _ in range(threads * 8)]
    before = thread_times(daemon)
    for _ in range(300):
        for client in clients:
            client.sendall(b"x" * 100)
        for client in clients:
            assert len(receive(client, 100)) == 100
    assert len(busy_threads(daemon, before)) >= threads


def test_the_number_of_threads_is_what_was_said(twined):
    counts = [len(thread_times(twined(f"[daemon]\nthreads = {n}\n" + listener("echo", "echo"))))
              for n in (1, 2, 4)]
    assert counts[1] - counts[0] == 1 and counts[2] - counts[1] == 2


def test_threads_auto_is_the_cpus_we_may_use(twined):
    available = os.sched_getaffinity(0)
    auto = twined(listener("echo", "echo"))
    said = twined(f"[daemon]\nthreads = {len(available)}\n" + listener("echo", "echo"))
    assert len(thread_times(auto)) == len(thread_times(said))
    os.sched_setaffinity(0, {min(available)})
    try:
        one = twined(listener("echo", "echo"))
    finally:
        os.sched_setaffinity(0, available)
    said = twined("[daemon]\nthreads = 1\n" + listener("echo", "echo"))
    assert len(thread_times(one)) == len(thread_times(said))


def test_an_idle_daemon_costs_no_cpu(twined):
    daemon = twined("[daemon]\nthreads = 4\n" + listener("echo", "echo"))
    client = daemon.connect("echo")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"
    client.settimeout(0.7)

    def is_idle():
        before = daemon.cpu_time()
        with pytest.raises(TimeoutError):
            client.recv(1)		# the span that is measured
        return daemon.cpu_time() - before < 0.02
    wait_for(is_idle, "nothing to do")


def test_a_busy_connection_keeps_nobody_else_waiting(twined):
    daemon = twined("[daemon]\nthreads = 1\n" + listener("gen", "chargen")
                    + listener("echo", "echo") + listener("sink", "discard"))
    stop = threading.Event()

    def drain():
        client = daemon.connect("gen")
        while not stop.is_set():
            client.recv(1 << 20)

    def pour():
        client = daemon.connect("sink")
        while not stop.is_set():
            client.sendall(b"x" * (1 << 20))
    threads = [threading.Thread(target=target) for target in (drain, pour)]
    for thread in threads:
        thread.start()
    try:
        client = daemon.connect("echo")
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(100):
            client.sendall(b"hi")
            assert receive(client, 2) == b"hi"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
