"""What a listener lets in: how many, from whom, and how fast."""

import socket
import time

import pytest

from support import PATIENCE, listener, receive, receive_all, wait_for


def is_served(client):
    client.sendall(b"?")
    return receive(client, 1) == b"?"


def waits(client, seconds=0.25):
    """Whether an echo client has no answer for a while."""
    client.sendall(b"?")
    client.settimeout(seconds)
    try:
        return client.recv(1) == b"never"
    except TimeoutError:
        return True


def is_turned_away(daemon, name="echo", scheme="tcp", **options):
    """Whether a new client is: at the earliest while it connects."""
    try:
        client = daemon.connect(name, scheme, **options)
        client.sendall(b"?")
        return client.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def fill(daemon, count, name="echo", scheme="tcp", **options):
    clients = [daemon.connect(name, scheme, **options) for _ in range(count)]
    assert all(is_served(client) for client in clients)
    return clients


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
@pytest.mark.parametrize("threads", [1, 2])
def test_over_max_connections_a_client_waits_for_a_place(twined, directory, scheme, threads):
    daemon = twined(f"[daemon]\nthreads = {threads}\n"
                    + listener("echo", "echo", f"tcp://127.0.0.1:0, unix://{directory}/s",
                               max_connections="3"))
    clients = fill(daemon, 3, scheme=scheme)
    fourth = daemon.connect("echo", scheme)
    assert waits(fourth)
    clients.pop().close()
    fourth.settimeout(PATIENCE)
    assert receive(fourth, 1) == b"?"
    assert waits(daemon.connect("echo", scheme))


def test_on_full_reset_refuses_at_once(twined):
    daemon = twined(listener("echo", "echo", max_connections="2", on_full="reset"))
    clients = fill(daemon, 2)
    with pytest.raises(ConnectionResetError):
        receive_all(daemon.connect("echo"))
    daemon.wait_log("full")
    assert all(is_served(client) for client in clients)
    clients.pop().close()
    wait_for(lambda: not is_turned_away(daemon), "a place is free")


def test_max_connections_counts_all_addresses_of_a_listener(twined, directory):
    daemon = twined(listener("echo", "echo", f"tcp://127.0.0.1:0, unix://{directory}/s",
                             max_connections="2"))
    fill(daemon, 1)
    fill(daemon, 1, scheme="unix")
    assert waits(daemon.connect("echo"))
    assert waits(daemon.connect("echo", "unix"))


def test_max_connections_of_the_daemon_counts_all_listeners(twined):
    daemon = twined("[daemon]\nmax_connections = 3\n" + listener("a", "echo")
                    + listener("b", "echo"))
    clients = fill(daemon, 2, "a") + fill(daemon, 1, "b")
    waiting = [daemon.connect(name) for name in "ab"]
    assert all(waits(client) for client in waiting)
    for client in clients + waiting:
        client.close()
    assert is_served(daemon.connect("a")) and is_served(daemon.connect("b"))


def test_the_limit_of_one_listener_is_not_anothers(twined):
    daemon = twined(listener("a", "echo", max_connections="1") + listener("b", "echo"))
    fill(daemon, 1, "a")
    assert waits(daemon.connect("a"))
    fill(daemon, 20, "b")


@pytest.mark.parametrize("on_full", ["wait", "reset"])
def test_max_connections_per_ip_turns_one_address_away_and_serves_the_next(twined, on_full):
    daemon = twined(listener("echo", "echo", max_connections_per_ip="2", on_full=on_full))
    mine = fill(daemon, 2)
    assert is_turned_away(daemon)
    daemon.wait_log("full_for_ip")
    fill(daemon, 2, source="127.0.0.2")
    assert is_turned_away(daemon, "echo", source="127.0.0.2")
    mine.pop().close()
    wait_for(lambda: not is_turned_away(daemon), "a place is free")


def test_max_connections_per_ip_counts_all_threads(twined):
    daemon = twined("[daemon]\nthreads = 4\n"
                    + listener("echo", "echo", max_connections_per_ip="5"))
    fill(daemon, 5)
    assert all(is_turned_away(daemon) for _ in range(8))


def test_accept_rate_holds_the_rest_in_the_backlog(twined):
    daemon = twined(listener("echo", "echo", accept_rate="20/s"))
    started = time.monotonic()
    clients = [daemon.connect("echo") for _ in range(40)]
    for client in clients:
        assert is_served(client)
    seconds = time.monotonic() - started
    # A burst of up to a second's worth, then 20 a second.
    assert 0.8 < seconds < PATIENCE


@pytest.mark.parametrize("keys, source, served", [
    ({"allow": "127.0.0.1"}, "127.0.0.1", True),
    ({"allow": "127.0.0.1"}, "127.0.0.2", False),
    ({"allow": "10.0.0.0/8, 127.0.0.2/31"}, "127.0.0.3", True),
    ({"allow": "10.0.0.0/8, 127.0.0.2/31"}, "127.0.0.4", False),
    ({"deny": "127.0.0.2"}, "127.0.0.1", True),
    ({"deny": "127.0.0.2"}, "127.0.0.2", False),
    ({"allow": "127.0.0.0/8", "deny": "127.0.0.2"}, "127.0.0.2", False),
    ({"allow": "127.0.0.2", "deny": "127.0.0.0/8"}, "127.0.0.2", False),
    ({"allow": "::/0"}, "127.0.0.1", False),
    ({"allow": "unix"}, "127.0.0.1", False),
])
def test_allow_and_deny_of_ipv4(twined, keys, source, served):
    daemon = twined(listener("echo", "echo", **keys))
    if served:
        assert is_served(daemon.connect("echo", source=source))
    else:
        assert is_turned_away(daemon, source=source)
        daemon.wait_log(f"tcp://{source}:\\d+: (refused|closed): denied")


@pytest.mark.parametrize("keys, served", [
    ({"allow": "::1"}, True), ({"allow": "fe80::/10"}, False), ({"deny": "::/0"}, False),
    ({"deny": "::2/128"}, True), ({"allow": "127.0.0.1"}, False),
])
def test_allow_and_deny_of_ipv6(twined, keys, served):
    daemon = twined(listener("echo", "echo", "tcp://[::1]:0", **keys))
    assert is_served(daemon.connect("echo")) if served else is_turned_away(daemon)


def test_ipv4_peers_of_a_socket_for_both_families_are_known_as_ipv4(twined):
    daemon = twined(listener("echo", "echo", "tcp://*:0", allow="127.0.0.1"))
    port = daemon.port("echo")
    assert is_served(daemon.connect_to(f"tcp://127.0.0.1:{port}"))
    assert receive_all(daemon.connect_to(f"tcp://[::1]:{port}")) == b""
    daemon.wait_log(r": tcp://127\.0\.0\.1:\d+: open")


@pytest.mark.parametrize("keys, served", [
    ({"allow": "unix"}, True), ({"allow": "127.0.0.1"}, False), ({"deny": "unix"}, False),
    ({"deny": "0.0.0.0/0, ::/0"}, True),
])
def test_allow_and_deny_of_unix_peers(twined, directory, keys, served):
    daemon = twined(listener("echo", "echo", f"unix://{directory}/s", **keys))
    if served:
        assert is_served(daemon.connect("echo", "unix"))
    else:
        assert is_turned_away(daemon, "echo", "unix")


@pytest.mark.parametrize("scheme", ["udp", "unixgram"])
def test_denied_datagrams_are_not_answered_and_counted(twined, directory, scheme):
    daemon = twined(listener("echo", "echo", f"udp://127.0.0.1:0, unixgram://{directory}/d",
                             deny="127.0.0.2, unix"))
    options = {"source": "127.0.0.2"} if scheme == "udp" else {}
    client = daemon.connect("echo", scheme, **options)
    client.send(b"?")
    other = daemon.connect("echo", "udp")
    other.send(b"!")
    assert other.recv(10) == b"!"
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(10)


def test_a_denied_client_costs_no_place(twined):
    daemon = twined(listener("echo", "echo", max_connections="2", deny="127.0.0.2"))
    for _ in range(5):
        assert is_turned_away(daemon, "echo", source="127.0.0.2")
    fill(daemon, 2)


def test_a_place_is_given_back_however_a_connection_ends(twined, server):
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        upstream = "tcp://127.0.0.1:%d" % refusing.getsockname()[1]
        daemon = twined(listener("web", "proxy", upstream=upstream, max_connections="2")
                        + listener("day", "daytime", max_connections="2"))
        for _ in range(10):
            assert is_turned_away(daemon, "web")
    for _ in range(10):
        client = daemon.connect("day")
        assert receive_all(client)
        client.close()


def test_a_closed_listener_of_enabled_no_opens_nothing(twined):
    daemon = twined(listener("on", "echo") + listener("off", "echo", enabled="no"))
    assert is_served(daemon.connect("on"))
    assert not daemon.lines(r"\boff\b.*listening")
