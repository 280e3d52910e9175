"""The rules for datagrams: whom no answer goes to, how many, how long, and where it comes from."""

import socket
import struct
import time

import pytest

from support import PATIENCE, listener, wait_for


def ask(client, request=b"?"):
    client.send(request)
    return client.recv(70000)


def low_port_client():
    for port in (1023, 1022, 1021, 1020):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            client.bind(("127.0.0.1", port))
            return client
        except OSError:
            client.close()
    return pytest.skip("needs a port below 1024")


@pytest.mark.parametrize("protocol", ["echo", "chargen", "daytime", "time"])
def test_a_source_port_below_1024_is_not_answered(twined, protocol):
    daemon = twined(listener("it", protocol, "udp://127.0.0.1:0"))
    with low_port_client() as client:
        client.connect(("127.0.0.1", daemon.port("it", "udp")))
        client.send(b"x" * 600)
        last = daemon.connect("it", "udp")
        assert ask(last, b"y" * 600)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(70000)


def from_address_of(daemon, name, target):
    """Sends to a target from a listener's own address and port, as a spoofed datagram would."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    source, port = daemon.port(name, "udp"), daemon.port(target, "udp")
    payload = b"round and round"
    udp = struct.pack("!HHHH", source, port, 8 + len(payload), 0) + payload
    here = socket.inet_aton("127.0.0.1")
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, here, here)
    raw.sendto(header + udp, ("127.0.0.1", port))
    raw.close()


def datagrams(daemon, name):
    """How many datagrams have come in and gone out, as the summary says."""
    since = len(daemon.log)
    daemon.signal(10)
    match = daemon.wait_log(rf" {name}: .*?(\d+) datagrams in, (\d+) out", since)
    return int(match[1]), int(match[2])


@pytest.mark.parametrize("first, second", [("echo", "echo2"), ("echo", "gen"), ("echo", "echo"),
                                           ("any", "echo"), ("echo", "any")])
def test_datagrams_do_not_go_round_between_our_own_addresses(twined, root, first, second):
    daemon = twined(listener("echo", "echo", "udp://127.0.0.1:0")
                    + listener("echo2", "echo", "udp://127.0.0.1:0")
                    + listener("any", "echo", "udp://*:0")
                    + listener("gen", "chargen", "udp://127.0.0.1:0"))
    from_address_of(daemon, first, second)
    wait_for(lambda: datagrams(daemon, second)[0] > 0, "the datagram has arrived")
    time.sleep(0.05)			# a storm would be hundreds by then
    assert datagrams(daemon, second) == (1, 0)


def test_udp_reply_rate_is_for_each_source(twined):
    daemon = twined(listener("echo", "echo", "udp://127.0.0.1:0", udp_reply_rate="5/h"))
    greedy = daemon.connect("echo", "udp")
    for _ in range(50):
        greedy.send(b"?")
    other = daemon.connect("echo", "udp", source="127.0.0.2")
    assert ask(other, b"!") == b"!"
    for _ in range(5):
        assert greedy.recv(10) == b"?"
    greedy.settimeout(0.2)
    with pytest.raises(TimeoutError):
        greedy.recv(10)
    second = daemon.connect("echo", "udp")
    second.send(b"?")
    assert ask(other, b"!") == b"!"
    second.settimeout(0.1)
    with pytest.raises(TimeoutError):
        second.recv(10)


def test_udp_reply_rate_comes_back_with_time(twined):
    daemon = twined(listener("echo", "echo", "udp://127.0.0.1:0", udp_reply_rate="4/s"))
    client = daemon.connect("echo", "udp")
    client.settimeout(0.05)
    started, replies = time.monotonic(), 0
    while replies < 10:
        client.send(b"?")
        try:
            client.recv(10)
            replies += 1
        except TimeoutError:
            assert time.monotonic() - started < PATIENCE
    assert time.monotonic() - started >= 1.4		# a burst of 4, and 4 a second


def test_on_loopback_no_rate_holds_by_default(twined):
    daemon = twined(listener("echo", "echo", "udp://127.0.0.1:0"))
    client = daemon.connect("echo", "udp")
    for _ in range(3000):
        assert ask(client) == b"?"


@pytest.mark.parametrize("protocol, keys", [("chargen", {}), ("qotd", {"quote": "q" * 300})])
def test_without_udp_amplify_a_reply_is_no_longer_than_its_request(twined, protocol, keys):
    daemon = twined(listener("it", protocol, "udp://127.0.0.1:0", udp_amplify="no", **keys))
    client = daemon.connect("it", "udp")
    client.settimeout(0.2)
    for length in (0, 1, 10, 73, 100, 299):
        client.send(b"x" * length)
        try:
            assert len(client.recv(70000)) <= length
        except TimeoutError:
            pass
    client.settimeout(PATIENCE)
    assert 0 < len(ask(client, b"x" * 600)) <= 600


def test_on_loopback_replies_may_be_longer_by_default(twined):
    daemon = twined(listener("it", "chargen", "udp://127.0.0.1:0"))
    assert len(ask(daemon.connect("it", "udp"), b"")) > 0


@pytest.mark.parametrize("protocol", ["time", "daytime"])
def test_time_and_daytime_may_be_longer_than_an_empty_request(twined, protocol):
    daemon = twined(listener("it", protocol, "udp://127.0.0.1:0", udp_amplify="no"))
    assert 4 <= len(ask(daemon.connect("it", "udp"), b"")) <= 40


def test_a_daytime_of_more_than_40_bytes_is_not_exempt(twined):
    daemon = twined(listener("it", "daytime", "udp://127.0.0.1:0", udp_amplify="no",
                             format="%Y " * 20))
    client = daemon.connect("it", "udp")
    client.send(b"")
    assert len(ask(daemon.connect("it", "udp"), b"x" * 200)) > 40
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1000)


@pytest.mark.parametrize("listen, targets", [
    ("udp://*:0", ["127.0.0.1", "127.0.0.2", "127.9.8.7"]),
    ("udp://0.0.0.0:0", ["127.0.0.1", "127.0.0.2"]),
])
def test_a_reply_comes_from_the_address_that_was_asked(twined, listen, targets):
    daemon = twined(listener("echo", "echo", listen))
    for target in targets:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.sendto(b"?", (target, daemon.port("echo", "udp")))
            reply, source = client.recvfrom(10)
            assert reply == b"?" and source == (target, daemon.port("echo", "udp"))


def test_a_socket_for_both_families_answers_both(twined):
    daemon = twined(listener("echo", "echo", "udp://*:0"))
    for family, target in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.connect((target, daemon.port("echo", "udp")))
            assert ask(client) == b"?"


def test_an_error_of_one_reply_does_not_hold_up_the_others(twined):
    daemon = twined(listener("echo", "echo", "udp://127.0.0.1:0"))
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.sendto(b"?", ("127.0.0.1", daemon.port("echo", "udp")))
    client = daemon.connect("echo", "udp")
    for _ in range(20):
        assert ask(client) == b"?"


def test_a_flood_of_datagrams_keeps_nobody_else_waiting(twined):
    daemon = twined("[daemon]\nthreads = 1\n"
                    + listener("echo", "echo", "udp://127.0.0.1:0, tcp://127.0.0.1:0"))
    flood = daemon.connect("echo", "udp")
    flood.setblocking(False)
    client = daemon.connect("echo")
    started = time.monotonic()
    for _ in range(200):
        for _ in range(50):
            try:
                flood.send(b"x" * 1000)
            except BlockingIOError:
                break
        client.sendall(b"?")
        assert client.recv(1) == b"?"
    assert time.monotonic() - started < PATIENCE
