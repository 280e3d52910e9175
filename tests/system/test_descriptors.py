"""Out of descriptors: accepting pauses without a busy loop, and goes on by itself."""

import contextlib
import re
import resource
import time

import pytest

from support import PATIENCE, SLOW, listener, receive, wait_for

LIMIT = {resource.RLIMIT_NOFILE: 64}
TOO_MANY = "accept: Too many open files"


def exhaust(daemon, name="echo"):
    """Connects until nobody is accepted any more; returns who was and who waits."""
    served, waiting = [], []
    for _ in range(100):
        client = daemon.connect(name)
        client.sendall(b"?")
        client.settimeout(0.05)
        (served if is_answered(client, daemon) else waiting).append(client)
        if len(waiting) == 3:
            break
    assert served and len(waiting) == 3, (len(served), len(waiting))
    for client in served:
        client.settimeout(PATIENCE)
    return served, waiting


def is_answered(client, daemon):
    """Whether a client is served: it is, or else the daemon says that it has no descriptor."""
    def outcome():
        try:
            return client.recv(1)
        except TimeoutError:
            return daemon.lines(TOO_MANY) and b"none"
    return wait_for(outcome, "an answer or none") == b"?"


@pytest.fixture
def exhausted(twined):
    """A daemon whose descriptors are all in use."""
    daemon = twined("[daemon]\nthreads = 1\nmax_connections = 1000\n" + listener("echo", "echo"),
                    limits=LIMIT, errors=TOO_MANY)
    served, waiting = exhaust(daemon)
    return daemon, served, waiting


def test_it_costs_no_cpu_and_at_most_a_log_line_a_second(exhausted):
    daemon, _, _ = exhausted
    since, started = len(daemon.log), time.monotonic()

    def is_idle():
        before = daemon.cpu_time()
        time.sleep(1.5)			# the span that is measured
        return daemon.cpu_time() - before < 0.03 * SLOW
    wait_for(is_idle, "nothing to do")
    lines = len(daemon.log) - since
    assert lines <= time.monotonic() - started + 2


def test_who_is_connected_is_served(exhausted):
    daemon, served, _ = exhausted
    for client in served:
        client.sendall(b"hi")
        assert receive(client, 2) == b"hi"


def test_accepting_goes_on_by_itself_after_one_is_free(exhausted):
    _, served, waiting = exhausted
    for client in waiting:
        served.pop().close()
        client.settimeout(PATIENCE)
        assert client.recv(1) == b"?"


def test_with_max_connections_auto_the_limit_is_never_met(twined):
    daemon = twined("[daemon]\nthreads = 2\n" + listener("echo", "echo"),
                    limits={resource.RLIMIT_NOFILE: 160})
    # More than there is room for.
    waiting = [daemon.connect("echo") for _ in range(200)]
    for client in waiting:
        client.sendall(b"?")
        client.settimeout(0.01)
    while waiting:
        client = wait_for(lambda: next(filter(is_served, waiting), None),
                          "one that waits is served")
        client.close()
        waiting.remove(client)
    assert not daemon.lines("Too many open files")


def is_served(client):
    try:
        return client.recv(1) == b"?"
    except TimeoutError:
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
        client.settimeout(PATIENCE / 10)
        try:
            return client.recv(1) == b"?"
        except OSError:
            return False
    wait_for(works, "it works again")


def test_datagrams_are_answered_while_there_are_no_descriptors(twined):
    daemon = twined("[daemon]\nthreads = 1\nmax_connections = 1000\n"
                    + listener("echo", "echo", "tcp://127.0.0.1:0, udp://127.0.0.1:0"),
                    limits=LIMIT, errors=TOO_MANY)
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


def test_the_reload_command_is_answered_while_there_are_no_descriptors(exhausted):
    daemon, served, _ = exhausted
    daemon.errors = re.compile("Too many open files|reload failed")
    for _ in range(3):			# what is kept in reserve is there again
        result = daemon.reload()
        assert result.returncode == 1
        assert result.stderr == f"{daemon.path}: cannot be read: Too many open files\n"
    served[0].sendall(b"hi")
    assert receive(served[0], 2) == b"hi"
    daemon.close_clients()
    wait_for(lambda: daemon.reload().returncode == 0, "a reload")
