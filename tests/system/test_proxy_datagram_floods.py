"""Floods of datagrams from made-up sources: whoever is honest is served, and everything is given
back."""

import resource
import socket
import time

import pytest

from datagram_peers import Crowd, crowd, summary, upstream	# fixtures are among them
from namespaces import Namespace
from support import PATIENCE, SANITIZED, listener, wait_for

SOURCES = 20000 if SANITIZED else 100000
CLIENTS = 100
CHUNK = 100		# what surely finds room in a socket's buffer
NOFILE = {resource.RLIMIT_NOFILE: 1024}


def ask(client, request):
    client.send(request)
    assert client.recv(100) == request


class Flood:
    """
    A crowd whose every datagram comes from a source of its own, as fast as the daemon takes
    them.
    """

    def __init__(self, crowd_of, daemon, name, datagrams=1):
        self.clients = crowd_of(daemon.port(name, "udp"))
        self.clients.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # A client of old: when it is answered, all that came before it has been taken.
        self.mark = daemon.connect(name, "udp", source="127.0.0.1")
        self.datagrams = datagrams
        self.number = 0
        ask(self.mark, b"mark")
        ask(self.mark, b"mark")

    def go_on(self, count):
        for _ in range(count):
            for _ in range(self.datagrams):
                self.clients.send(self.number, b"flood")
            self.number += 1
            if self.number % (CHUNK // self.datagrams) == 0:
                ask(self.mark, b"mark")


def answer_the_honest(data, _source):
    return [] if data == b"flood" else [data]


@pytest.mark.parametrize("limits", [None, NOFILE], ids=["sessions", "descriptors"])
def test_new_clients_are_served_in_a_flood(twined, crowd, limits):
    echo = twined(listener("echo", "echo", "udp://127.0.0.1:0"))	# answers the flood, too
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream=echo.address("echo", "udp"),
                             max_sessions=10000, session_timeout="1h"), limits=limits)
    flood = Flood(crowd, daemon, "it")
    for number in range(CLIENTS):
        flood.go_on(SOURCES // CLIENTS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(PATIENCE)
            one.connect(("127.0.0.1", daemon.port("it", "udp")))
            ask(one, b"%d" % number)
    counts = summary(daemon, "it")
    assert counts["flows"] >= SOURCES + CLIENTS
    assert counts["flows open"] + counts["evicted"] == counts["flows"]
    assert 300 < counts["flows open"] <= (10000 if limits is None else 512)


def test_a_client_of_old_keeps_its_flow_in_a_flood(twined, upstream, crowd):
    server = upstream(answer=answer_the_honest)
    server.keep = False
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             max_sessions=1000, session_timeout="1h"))
    old = [daemon.connect("it", "udp") for _ in range(100)]
    for turn in range(2):
        for number, client in enumerate(old):
            ask(client, b"%d %d" % (turn, number))
    flood = Flood(crowd, daemon, "it")
    flood.go_on(10000)
    server.keep = True
    for number, client in enumerate(old):
        ask(client, b"2 %d" % number)
    counts = summary(daemon, "it")
    # Nothing was made anew for any of them.
    assert counts["flows"] == len(old) + 1 + 10000
    assert counts["flows open"] == 1000


def test_new_clients_are_served_in_a_flood_of_pairs(twined, crowd):
    echo = twined(listener("echo", "echo", "udp://127.0.0.1:0"))
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream=echo.address("echo", "udp"),
                             max_sessions=1000))
    flood = Flood(crowd, daemon, "it", datagrams=2)
    for number in range(CLIENTS):
        flood.go_on(200)
        client = daemon.connect("it", "udp")
        # It is not the fastest.
        client.send(b"%d" % number)
        flood.go_on(CHUNK)
        assert client.recv(100) == b"%d" % number
        ask(client, b"again")


def test_a_flood_of_one_listener_leaves_the_others_their_share(twined, upstream, crowd):
    server = upstream(answer=answer_the_honest)
    daemon = twined("".join(listener(name, "proxy", "udp://127.0.0.1:0, tcp://127.0.0.1:0",
                                     upstream=f"{server.address}, tcp://127.0.0.1:9")
                            for name in ("it", "other"))
                    + listener("echo", "echo"), limits=NOFILE)
    old = daemon.connect("other", "udp")
    ask(old, b"old")
    flood = Flood(crowd, daemon, "it")
    server.keep = False
    flood.go_on(3000)
    server.keep = True
    for number in range(40):
        ask(daemon.connect("other", "udp"), b"%d" % number)
    ask(old, b"old")
    assert "evicted" not in summary(daemon, "other")
    # And connections have the half that flows may not take.
    clients = [daemon.connect("echo") for _ in range(400)]
    for client in clients:
        client.sendall(b"?")
    for client in clients:
        assert client.recv(1) == b"?"


def test_connections_that_take_every_descriptor_leave_a_few_flows(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address)
                    + listener("echo", "echo"), limits=NOFILE)
    clients = [daemon.connect("echo") for _ in range(1200)]
    wait_for(lambda: summary(daemon, "echo")["open"] > 900, "every place is taken")
    for number in range(50):
        ask(daemon.connect("it", "udp"), b"%d" % number)
    assert summary(daemon, "it")["flows open"] == 8
    for client in clients:
        client.close()


def test_after_a_flood_everything_is_given_back(twined, crowd):
    echo = twined(listener("echo", "echo", "udp://127.0.0.1:0"))
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream=echo.address("echo", "udp"),
                             session_timeout="500ms", max_sessions=4000))
    before = len(daemon.descriptors())
    Flood(crowd, daemon, "it").go_on(4000)
    wait_for(lambda: summary(daemon, "it")["flows open"] == 0, "all flows have ended")
    counts = summary(daemon, "it")
    assert counts["flows"] >= 4001		# the mark's may have been made anew
    assert counts["session_timeout"] + counts.get("evicted", 0) == counts["flows"]
    wait_for(lambda: len(daemon.descriptors()) <= before, "all descriptors are closed")
    ask(daemon.connect("it", "udp"), b"?")


def test_a_flood_is_none_of_log_lines(twined, crowd):
    echo = twined(listener("echo", "echo", "udp://127.0.0.1:0"))
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream=echo.address("echo", "udp"),
                             max_sessions=100))
    started = time.monotonic()
    flood = Flood(crowd, daemon, "it")
    flood.go_on(5000)
    summary(daemon, "it")
    most = 100 * (time.monotonic() - started + 2)
    assert 100 <= len(daemon.lines(r" it udp://\S+: udp://\S+: open$")) <= most
    assert len(daemon.lines(": closed: evicted, ")) <= most

    def told():
        flood.go_on(CHUNK)
        return daemon.lines(r" it udp://\S+: \d+ flows opened and not logged$")
    wait_for(told, "how many were not")


@pytest.fixture
def narrow(root):
    """A network with 200 local ports."""
    space = Namespace()
    space.run("sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=40000 40199")
    yield space
    space.close()


def test_new_clients_are_served_when_local_ports_run_out(twined, narrow):
    echo = twined(listener("echo", "echo", "udp://127.0.0.1:7"), wrapper=narrow.enter)
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:53",
                             upstream=echo.address("echo", "udp"),
                             session_timeout="1h"), wrapper=narrow.enter)
    clients = narrow.call(lambda: Crowd(53))
    for number in range(2000):
        clients.send(number, b"%d" % number)
        assert clients.receive() == (number, b"%d" % number)
    counts = summary(daemon, "it")
    assert counts["flows"] == 2000 and "full" not in counts
    assert 150 < counts["flows open"] <= 199
    clients.close()

    # Others who need a port find one.
    def bind():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            return True
    assert narrow.call(bind)
