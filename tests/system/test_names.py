"""Names of upstreams: looked up while the daemon goes on, followed when they change, raced
when they have several addresses. Each test has a network of its own with a name server in it."""

import contextlib
import os
import resource
import socket
import threading
import time

import pytest

from dns_server import A, AAAA, SERVFAIL, DnsServer
from namespaces import Namespace
from support import listener, receive_all, wait_for

PORT = 7000				# the network is our own
NAME = "backend.test"
MINUTES_S = 30 * 5			# how long a silent name server keeps who is patient
UPSTREAM = f"tcp://{NAME}:{PORT}"


class Network:
    """A network whose name server is our own, the only one that anybody asks there."""

    def __init__(self, directory, options):
        self.opened = []
        files = {"resolv.conf": f"nameserver 127.0.0.1\nsearch .\noptions {options}\n",
                 "nsswitch.conf": "hosts: files dns\n"}
        for name, text in files.items():
            with open(os.path.join(directory, name), "w", encoding="ascii") as file:
                file.write(text)
        self.space = Namespace({f"/etc/{name}": os.path.join(directory, name) for name in files})
        self.dns = DnsServer(self.bound(("127.0.0.1", 53), socket.SOCK_DGRAM))

    def bound(self, address, kind=socket.SOCK_STREAM):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        one = self.space.call(lambda: socket.socket(family, kind))
        one.bind(address)
        return one

    def serve(self, host, backlog=128):
        """A server that tells each client its own address; at its port it is the only one."""
        listening = self.bound((host, PORT))
        listening.listen(backlog)
        self.opened.append(listening)

        def accept():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                self.opened.append(connection)
                connection.sendall(host.encode())
                connection.shutdown(socket.SHUT_WR)
        threading.Thread(target=accept, daemon=True).start()

    def swallow(self, host):
        """A black hole: what connects there hears nothing."""
        listening = self.bound((host, PORT))
        listening.listen(0)
        self.opened.append(listening)
        for _ in range(3):
            filler = self.space.call(lambda: socket.socket(listening.family))
            filler.setblocking(False)
            filler.connect_ex((host, PORT))
            self.opened.append(filler)

    def run(self, twined, config, **options):
        return twined(config, wrapper=self.space.enter, **options)

    def dial(self, daemon, name="web"):
        return self.space.call(lambda: daemon.connect(name))

    def ask(self, daemon, name="web"):
        """Which server a new client reaches; None: it is reset."""
        try:
            with self.dial(daemon, name) as client:
                return receive_all(client).decode()
        except ConnectionResetError:
            return None

    def close(self):
        self.dns.close()
        for one in self.opened:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.space.close()


@pytest.fixture
def network(root, directory):
    one = Network(directory, "timeout:10 attempts:2")
    yield one
    one.dns.speak()
    one.close()


@pytest.fixture
def hasty_network(root, directory):
    """Whoever asks its name server gives up after a second."""
    one = Network(directory, "timeout:1 attempts:1")
    yield one
    one.close()


@pytest.fixture
def patient_network(root, directory):
    """Whoever asks its name server waits for minutes when that is silent."""
    one = Network(directory, "timeout:30 attempts:5")
    one.dns.fall_silent()
    yield one
    one.dns.speak()
    one.close()


def web(upstream=UPSTREAM, **keys):
    return listener("web", "proxy", upstream=upstream, **{"resolve_interval": "100ms", **keys})


def wait_served(network, daemon, host, least_s, most_s):
    """
    Each client hears that server and none sooner than it may; some, when nothing else is slow,
    in time.
    """
    def in_time():
        started = time.monotonic()
        assert network.ask(daemon) == host
        seconds = time.monotonic() - started
        assert seconds >= least_s
        return seconds < most_s
    wait_for(in_time, f"one is served within {most_s} s")


ECHO = listener("echo", "echo")


def test_a_name_that_is_unknown_at_the_start_is_served_once_it_is_known(twined, network):
    network.serve("127.0.0.2")
    daemon = network.run(twined, web() + ECHO)
    wait_for(lambda: network.dns.count(NAME) >= 2, "it is looked up, and again")
    assert network.ask(daemon) is None
    network.dns.set(NAME, "127.0.0.2")
    wait_for(lambda: network.ask(daemon) == "127.0.0.2", "it is served")
    assert len(daemon.lines(f"{NAME}.*not known")) == 1		# it is told once


def test_a_client_waits_for_the_first_answer(twined, network):
    network.serve("127.0.0.2")
    network.dns.set(NAME, "127.0.0.2")
    network.dns.fall_silent()
    daemon = network.run(twined, web())
    wait_for(lambda: network.dns.count(NAME), "it is looked up")
    client = network.dial(daemon)
    daemon.wait_log(": open")
    network.dns.speak()
    assert receive_all(client) == b"127.0.0.2"


def test_a_name_is_followed(twined, network):
    for host in ("127.0.0.2", "127.0.0.3", "::1"):
        network.serve(host)
    network.dns.set(NAME, "127.0.0.2")
    daemon = network.run(twined, web())
    assert network.ask(daemon) == "127.0.0.2"
    for host in ("127.0.0.3", "::1", "127.0.0.2"):
        network.dns.set(NAME, host)
        wait_for(lambda: network.ask(daemon) == host, f"it leads to {host}")
        assert {network.ask(daemon) for _ in range(5)} == {host}


def test_a_connection_stays_when_its_name_moves_on(twined, network):
    listening = network.bound(("127.0.0.2", PORT))
    listening.listen()
    network.opened.append(listening)
    network.serve("127.0.0.3")
    network.dns.set(NAME, "127.0.0.2")
    daemon = network.run(twined, web())
    client = network.dial(daemon)
    connection, _ = listening.accept()
    network.opened.append(connection)
    network.dns.set(NAME, "127.0.0.3")
    daemon.wait_log(f"leads to tcp://127.0.0.3:{PORT}")
    assert network.ask(daemon) == "127.0.0.3"
    client.sendall(b"still here")
    assert connection.recv(100) == b"still here"


@pytest.mark.parametrize("how", ["servfail", "nxdomain", "silence"])
def test_a_failed_look_up_keeps_the_last_answer(twined, hasty_network, how):
    network = hasty_network
    network.serve("127.0.0.2")
    network.dns.set(NAME, "127.0.0.2")
    daemon = network.run(twined, web())
    wait_for(lambda: network.ask(daemon) == "127.0.0.2", "the name is known")
    if how == "servfail":
        network.dns.fail(SERVFAIL)
    elif how == "nxdomain":
        network.dns.set(NAME)
    else:
        network.dns.fall_silent()
    daemon.wait_log(f"warning: .*{NAME}.*; the last answer stays")
    asked = network.dns.count(NAME)
    wait_for(lambda: network.dns.count(NAME) >= asked + 2, "it is looked up again and again")
    assert {network.ask(daemon) for _ in range(5)} == {"127.0.0.2"}
    # It is told once, however often; on a slow machine it may have been so before.
    assert (len(daemon.lines("the last answer stays")) - len(daemon.lines("known again"))) == 1
    since = len(daemon.log)
    network.dns.fail(None)
    network.dns.set(NAME, "127.0.0.2")
    network.dns.speak()
    daemon.wait_log(f"notice: .*{NAME}.*known again", since)


def test_every_address_of_a_name_is_used(twined, network):
    hosts = {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
    for host in hosts:
        network.serve(host)
    network.dns.set(NAME, *hosts)
    daemon = network.run(twined, web())
    assert {network.ask(daemon) for _ in range(30)} == hosts


def test_addresses_that_refuse_are_passed_over(twined, network):
    network.serve("127.0.0.4")
    network.dns.set(NAME, "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1")
    daemon = network.run(twined, web())
    wait_served(network, daemon, "127.0.0.4", 0, 0.2)


def test_ipv6_that_is_refused_costs_nothing(twined, network):
    network.serve("127.0.0.2")
    network.dns.set(NAME, "::1", "127.0.0.2")
    daemon = network.run(twined, web())
    wait_served(network, daemon, "127.0.0.2", 0, 0.2)


def test_ipv6_that_is_a_black_hole_costs_a_quarter_of_a_second(twined, network):
    network.swallow("::1")
    network.serve("127.0.0.2")
    network.dns.set(NAME, "::1", "127.0.0.2")
    daemon = network.run(twined, web(connect_timeout="1h"))
    wait_served(network, daemon, "127.0.0.2", 0.2, 5)
    wait_for(lambda: not half_open(daemon), "the attempts that have lost are closed")


def half_open(daemon):
    """Its sockets that are still connecting."""
    inodes = {name[8:-1] for name in daemon.descriptors() if name.startswith("socket:[")}
    rows = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{daemon.pid}/net/{table}", encoding="ascii") as file:
            rows += [line.split() for line in file.readlines()[1:]]
    return [row for row in rows if row[3] == "02" and row[9] in inodes]


def test_a_name_is_asked_for_once_for_a_hundred_upstreams(twined, network):
    network.dns.fall_silent()
    config = "".join(
        listener(f"web{n}", "proxy", resolve_interval="none",
                 upstream=", ".join(f"tcp://{NAME}:{PORT + 100 * n + m}" for m in range(10)))
        for n in range(10))
    daemon = network.run(twined, config)
    network.dns.set(NAME, "127.0.0.2")
    wait_for(lambda: network.dns.count(NAME), "it is looked up")
    network.dns.speak()
    wait_for(lambda: len(daemon.lines(f"upstream tcp://{NAME}:[0-9]+: leads to ")) == 100,
             "all have the answer")
    assert network.dns.count(NAME, A) == 1 and network.dns.count(NAME, AAAA) == 1
    for n in range(10):
        for m in range(10):
            port = PORT + 100 * n + m
            assert daemon.lines(f"upstream tcp://{NAME}:{port}: leads to tcp://127.0.0.2:{port}$")


def test_no_thread_is_kept_for_names(twined, network):
    network.serve("127.0.0.2")
    network.dns.set(NAME, "127.0.0.2")
    daemon = network.run(twined, web(f"tcp://127.0.0.2:{PORT}"))
    assert network.ask(daemon) == "127.0.0.2"
    threads = len(daemon.thread_states())
    network.space.call(lambda: daemon.reload(web(resolve_interval="1h")))
    assert network.ask(daemon) == "127.0.0.2"
    wait_for(lambda: len(daemon.thread_states()) == threads, "it has ended")


def round_trips(client, seconds):
    """That an echo goes on for that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        client.sendall(b"?")
        assert client.recv(1) == b"?"


def test_a_silent_name_server_stalls_nothing(twined, patient_network):
    network = patient_network
    names = [f"tcp://backend{n}.test:{PORT}" for n in range(20)]
    before = time.monotonic()
    daemon = network.run(twined, ECHO + web(", ".join(names)))
    wait_for(lambda: network.dns.asked, "names are looked up")
    client = network.dial(daemon, "echo")
    round_trips(client, 0.5)
    result = network.space.call(lambda: daemon.reload(ECHO + web("tcp://another.test:7001")))
    assert (result.returncode, result.stderr) == (0, "")
    round_trips(client, 0.1)
    client.close()
    daemon.stop()
    # Nothing of that has waited for an answer.
    assert time.monotonic() - before < MINUTES_S


def test_a_reload_asks_anew_what_hangs(twined, patient_network):
    """As when the administrator has replaced a name server that is dead."""
    network = patient_network
    network.serve("127.0.0.2")
    daemon = network.run(twined, web())
    wait_for(lambda: network.dns.count(NAME), "it is looked up")
    network.dns.held.clear()
    network.dns.speak()
    network.dns.set(NAME, "127.0.0.2")
    assert network.space.call(lambda: daemon.reload(web(connect_timeout="4s"))).returncode == 0
    assert network.ask(daemon) == "127.0.0.2"


def test_without_descriptors_the_last_answer_stays(twined, network):
    network.serve("127.0.0.2")
    network.dns.set(NAME, "127.0.0.2")
    daemon = network.run(twined, "[daemon]\nthreads = 1\nmax_connections = 1000\n" + web() + ECHO,
                         limits={resource.RLIMIT_NOFILE: 64}, errors="accept: Too many open files")
    assert network.ask(daemon) == "127.0.0.2"
    since = len(daemon.log)
    for _ in range(70):
        network.dial(daemon, "echo")
    daemon.wait_log(f"warning: .*{NAME}.*; the last answer stays", since)
    daemon.close_clients()
    daemon.wait_log(f"notice: .*{NAME}.*known again", since)
    assert network.ask(daemon) == "127.0.0.2"
