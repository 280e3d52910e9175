"""Out of descriptors: accepting pauses without a busy loop, and goes on by itself."""

import contextlib
import re
import resource
import time

import pytest

from support import SLOW, listener, receive, wait_for

LIMIT = {resource.RLIMIT_NOFILE: 64}


def exhaust(daemon, name="echo"):
    """Connects until nobody is accepted any more; returns who was and who waits."""
    served, waiting = [], []
    for _ in range(100):
        client = daemon.connect(name)
        client.sendall(b"?")
        client.settimeout(0.3)
        try:
            if client.recv(1) != b"?":
                continue
            served.append(client)
        except TimeoutError:
            waiting.append(client)
            if len(waiting) == 3:
                break
    assert served and len(waiting) == 3, (len(served), len(waiting))
    return served, waiting


@pytest.fixture
def exhausted(twined):
    """A daemon whose descriptors are all in use."""
    daemon = twined("[daemon]\nthreads = 1\nmax_connections = 1000\n" + listener("echo", "echo"),
                    limits=LIMIT, errors="accept: Too many open files")
    served, waiting = exhaust(daemon)
    return daemon, served, waiting


def test_it_costs_no_cpu_and_at_most_a_log_line_a_second(exhausted):
    daemon, _, _ = exhausted
    daemon.wait_log("accept: Too many open files")
    since, before, started = len(daemon.log), daemon.cpu_time(), time.monotonic()
    time.sleep(1.5)			# the span that is measured
    seconds = time.monotonic() - started
    assert (daemon.cpu_time() - before) / seconds < 0.02 * SLOW
    assert len(daemon.log) - since <= 2


def test_who_is_connected_is_served(exhausted):
    daemon, served, _ = exhausted
    for client in served:
        client.sendall(b"hi")
        assert receive(client, 2) == b"hi"


def test_accepting_goes_on_within_200_ms_after_one_is_free(exhausted):
    daemon, served, waiting = exhausted
    for client in waiting:
        served.pop().close()
        started = time.monotonic()
        client.settimeout(5)
        assert client.recv(1) == b"?"
        assert time.monotonic() - started < 0.2 * SLOW


def test_with_max_connections_auto_the_limit_is_never_met(twined):
    daemon = twined("[daemon]\nthreads = 2\n" + listener("echo", "echo"),
                    limits={resource.RLIMIT_NOFILE: 160})
    served, waiting = exhaust(daemon)
    assert not daemon.lines("accept: Too many open files")
    served.pop().close()
    assert wait_for(lambda: answered(waiting), "one that waits is served", 5)


def answered(clients):
    for client in clients:
        client.settimeout(0.01)
        try:
            if client.recv(1) == b"?":
                return True
        except TimeoutError:
            pass
    return False


def test_a_proxy_without_a_descriptor_for_its_upstream_turns_the_client_away(twined, server):
    address = server(lambda connection: connection.sendall(receive(connection, 1)))
    daemon = twined("[daemon]\nthreads = 1\nmax_connections = 1000\n"
                    + listener("web", "proxy", upstream=address), limits=LIMIT,
                    errors="Too many open files")
    for _ in range(60):
        with contextlib.suppress(ConnectionResetError):
            daemon.connect("web")
    daemon.wait_log("closed: no_resources|accept: Too many open files")
    daemon.close_clients()

    def works():
        client = daemon.connect("web")
        client.sendall(b"?")
        client.settimeout(1)
        try:
            return client.recv(1) == b"?"
        except OSError:
            return False
    wait_for(works, "it works again")


def test_datagrams_are_answered_while_there_are_no_descriptors(twined):
    daemon = twined("[daemon]\nthreads = 1\nmax_connections = 1000\n"
                    + listener("echo", "echo", "tcp://127.0.0.1:0, udp://127.0.0.1:0"),
                    limits=LIMIT, errors="accept: Too many open files")
    exhaust(daemon)
    client = daemon.connect("echo", "udp")
    client.send(b"hi")
    assert client.recv(10) == b"hi"


def test_a_stop_works_while_there_are_no_descriptors(exhausted):
    daemon, _, _ = exhausted
    daemon.close_clients()
    daemon.stop()


def test_a_bad_reload_while_there_are_no_descriptors_changes_nothing(exhausted):
    daemon, served, _ = exhausted
    daemon.errors = re.compile("Too many open files|reload failed")
    daemon.write(listener("echo", "echo") + "".join(listener(f"new{n}", "echo") for n in range(40)))
    daemon.signal(1)
    daemon.wait_log("error: reload failed")
    served[0].sendall(b"hi")
    assert receive(served[0], 2) == b"hi"
