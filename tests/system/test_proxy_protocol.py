"""accept_proxy: connections that begin with a PROXY header, and who their peers are then."""

import contextlib
import fcntl
import re
import select
import signal
import socket
import struct
import time

import pytest

from support import (PATIENCE, SANITIZED, SLOW, despite_stalls, exchange, listener, receive,
                     receive_all, reset, wait_for)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVICE = ("192.0.2.1", 1000), ("198.51.100.2", 80)
CLIENT_TEXT = "tcp://192.0.2.1:1000"
TIMEOUT_S = 5
SIOCOUTQ = 0x5411


def text_header(source=CLIENT, destination=SERVICE):
    """Version 1."""
    protocol = "TCP6" if ":" in source[0] else "TCP4"
    return (f"PROXY {protocol} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n"
            .encode())


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def binary_header(source=CLIENT, destination=SERVICE, more=b"", command=0x21, block=None,
                  family=None):
    """Version 2."""
    if block is None:
        inet6 = ":" in source[0]
        kind = socket.AF_INET6 if inet6 else socket.AF_INET
        block = b"".join(socket.inet_pton(kind, address) for address, _ in (source, destination))
        block += struct.pack(">HH", source[1], destination[1])
        family = 0x21 if inet6 else 0x11
    block += more
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


BOTH = pytest.mark.parametrize("header", [text_header, binary_header])


def accepting(protocol="echo", name=None, listen="tcp://127.0.0.1:0", **keys):
    """A listener whose peers on this machine have to send a header."""
    keys.setdefault("accept_proxy", "127.0.0.1, unix")
    return listener(name or protocol, protocol, listen, **keys)


def own_text(client):
    return "tcp://%s:%d" % client.getsockname()


def is_silent(client, seconds=0.2):
    """Whether nothing comes for a while, not even an end."""
    return not select.select([client], [], [], seconds)[0]


def wait_taken(client):
    """Waits until the daemon has read all that was sent over a unix socket."""
    wait_for(lambda: fcntl.ioctl(client, SIOCOUTQ, b"\0" * 4) == b"\0" * 4, "what was sent is read")


def is_turned_away(client):
    """Whether the other side ends the connection without a byte."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def summary(daemon):
    """The counts of the first listener."""
    since = len(daemon.log)
    daemon.signal(signal.SIGUSR1)
    return daemon.wait_log(r"notice: \S+: (\d+ open, .*)", since)[1]


@BOTH
@pytest.mark.parametrize("protocol, keys", [("chargen", {}), ("daytime", {}), ("time", {}),
                                            ("qotd", {"quote": "What?"}),
                                            ("relay", {"greeting": "Welcome"})])
def test_nobody_is_spoken_to_before_the_header(twined, protocol, keys, header):
    daemon = twined(accepting(protocol, **keys))
    client = daemon.connect(protocol)
    client.sendall(header()[:-1])
    assert is_silent(client)
    client.sendall(header()[-1:])
    assert len(receive(client, 4)) == 4
    daemon.wait_log(rf": {protocol} \S+: {CLIENT_TEXT}: open$")


@BOTH
def test_bytes_behind_the_header_are_the_clients(twined, header):
    daemon = twined(accepting())
    payload = b"\r\n" + text_header() + binary_header() + bytes(range(256)) * 700
    assert exchange(daemon.connect("echo"), header() + payload) == payload
    daemon.wait_log(rf": {CLIENT_TEXT}: closed: peer_closed, {len(payload)} bytes in,"
                    rf" {len(payload)} out")


def test_discard_counts_the_bytes_of_the_client(twined):
    daemon = twined(accepting("discard"))
    assert exchange(daemon.connect("discard"), binary_header() + b"x" * 1000) == b""
    daemon.wait_log(rf": {CLIENT_TEXT}: closed: peer_closed, 1000 bytes in, 0 out")


@BOTH
@pytest.mark.parametrize("threads", [1, 2])
def test_a_relay_knows_its_members_by_what_the_headers_say(twined, header, threads):
    daemon = twined(f"[daemon]\nthreads = {threads}\n" + accepting("relay", prefix="{peer}>"))
    hears, says = daemon.connect("relay"), daemon.connect("relay")
    hears.sendall(header(("2001:db8::1", 5), ("2001:db8::2", 6)))
    daemon.wait_log(r": tcp://\[2001:db8::1\]:5: open$")
    says.sendall(header() + b"hello\n")
    assert hears.recv(100) == f"{CLIENT_TEXT}>hello\n".encode()


@BOTH
def test_a_proxy_passes_on_what_is_behind_the_header(twined, server, header):
    echo = server(lambda peer: peer.sendall(receive_all(peer)))
    daemon = twined(accepting("proxy", upstream=echo))
    assert exchange(daemon.connect("proxy"), header() + b"request") == b"request"
    daemon.wait_log(rf": {CLIENT_TEXT}: closed: \w+, 7 bytes in, 7 out")


def test_a_mapped_client_is_an_ipv4_client(twined):
    daemon = twined(accepting(allow="192.0.2.0/24"))
    client = daemon.connect("echo")
    client.sendall(text_header(("::ffff:192.0.2.1", 1000), ("::1", 80)) + b"hi")
    assert receive(client, 2) == b"hi"
    daemon.wait_log(f": {CLIENT_TEXT}: open$")


@pytest.mark.parametrize("header", [
    text_header(), text_header(("2001:db8::1", 1), ("2001:db8::2", 2)), b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN what\never\r\n", binary_header(),
    binary_header(more=tlv(4, b"") + tlv(0xe0, b"x" * 9)),
    binary_header(command=0x20, block=b"", family=0),
], ids=["tcp4", "tcp6", "unknown", "unknown-rest", "binary", "tlvs", "local"])
def test_a_header_may_be_cut_at_every_byte(twined, directory, header):
    daemon = twined(accepting(listen=f"unix://{directory}/s"))
    for cut in range(1, len(header) + 1):
        client = daemon.connect("echo", "unix")
        client.sendall(header[:cut])
        wait_taken(client)
        client.sendall(header[cut:] + b"hi")
        assert receive(client, 2) == b"hi", cut
        client.close()
    client = daemon.connect("echo", "unix")
    for byte in header:
        client.sendall(bytes([byte]))
        wait_taken(client)
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"


def test_the_longest_header_is_read(twined):
    daemon = twined(accepting())
    header = binary_header(more=tlv(0xe0, b"x" * (65535 - 12 - 3)))
    assert len(header) == 16 + 65535
    assert exchange(daemon.connect("echo"), header + b"hi") == b"hi"
    daemon.wait_log(f": {CLIENT_TEXT}: open$")


@pytest.mark.parametrize("header", [
    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n",
    binary_header(command=0x20, block=b"", family=0), binary_header(command=0x20),
    binary_header(command=0x20, block=b"what is this", family=0xff),
    binary_header(block=b"", family=0),
], ids=["unknown", "unknown-tcp4", "local", "local-tcp4", "local-block", "unspecified"])
def test_a_header_that_names_nobody_leaves_the_real_peer(twined, header):
    daemon = twined(accepting(allow="127.0.0.0/8"))
    client = daemon.connect("echo")
    client.sendall(header + b"hi")
    assert receive(client, 2) == b"hi"
    daemon.wait_log(f": {own_text(client)}: open$")


def test_a_client_on_a_unix_socket_is_a_unix_peer(twined):
    daemon = twined(accepting(allow="unix"))
    names = b"/run/client".ljust(108, b"\0") + b"/run/service".ljust(108, b"\0")
    header = binary_header(block=names, family=0x31)
    assert exchange(daemon.connect("echo"), header + b"hi") == b"hi"
    daemon.wait_log(": unix://: closed: ")
    client = daemon.connect("echo")
    client.sendall(binary_header())
    assert is_turned_away(client)


@BOTH
def test_allow_and_deny_are_about_the_client(twined, header):
    daemon = twined(accepting(allow="192.0.2.0/24, 2001:db8::/32", deny="192.0.2.66, 127.0.0.0/8"))
    for client, served in (("192.0.2.1", True), ("192.0.2.66", False), ("192.0.3.1", False),
                           ("2001:db8::1", True), ("2001:db9::1", False), ("127.0.0.1", False)):
        there = daemon.connect("echo")
        there.sendall(header((client, 7), (client, 8)))
        if served:
            there.sendall(b"hi")
            assert receive(there, 2) == b"hi"
        else:
            assert is_turned_away(there)
            text = f"[{client}]" if ":" in client else client
            daemon.wait_log(rf": tcp://{re.escape(text)}:7: refused: denied$")
    assert "denied 4" in summary(daemon)


def test_connections_are_counted_for_each_client(twined):
    daemon = twined(accepting(max_connections_per_ip="1"))
    waiting = [daemon.connect("echo") for _ in range(3)]	# these have no client yet
    clients = []
    for host in ("192.0.2.1", "192.0.2.2"):
        clients.append(daemon.connect("echo"))
        clients[-1].sendall(text_header((host, 1)) + b"hi")
        assert receive(clients[-1], 2) == b"hi"
    second = daemon.connect("echo")
    second.sendall(binary_header() + b"hi")
    assert is_turned_away(second)
    daemon.wait_log(f": {CLIENT_TEXT}: refused: full_for_ip$")
    clients[0].close()
    daemon.wait_log(r": tcp://192.0.2.1:1: closed: ")

    def is_served():
        with contextlib.suppress(ConnectionError):
            waiting[0].sendall(binary_header() + b"hi")
            if receive(waiting[0], 2) == b"hi":
                return True
        waiting[0] = daemon.connect("echo")	# the line comes a moment before it is counted
        return False
    wait_for(is_served, "the client may have a connection again")


def test_who_is_not_a_proxy_is_closed(twined):
    daemon = twined(accepting(accept_proxy="127.0.0.1", allow="all"))
    client = daemon.connect("echo", source="127.0.0.2")
    with contextlib.suppress(OSError):
        client.sendall(text_header() + b"hi")
    assert is_turned_away(client)
    daemon.wait_log(r": tcp://127\.0\.0\.2:\d+: refused: denied$")


def test_without_accept_proxy_a_header_is_as_any_bytes(twined):
    daemon = twined(listener("echo", "echo"))
    assert exchange(daemon.connect("echo"), text_header()) == text_header()


WRONG = [
    (b"GET / HTTP/1.0\r\n\r\n", "it is no PROXY header"),
    (b"\x16\x03\x01\x02\x00", "it is no PROXY header"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "a line that does not end in CR and LF"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", "a port that is not a number of 0 to 65535"),
    (b"PROXY UNKNOWN " + b"x" * 100, "a line of more than 107 bytes"),
    (binary_header(command=0x22), "an unknown command"),
    (binary_header(more=tlv(3, b"none")), "a wrong checksum"),
    (binary_header(more=b"\4\1\0"), "a TLV that is longer than the header"),
]


@pytest.mark.parametrize("bytes_, what", WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_wrong_header_closes_its_connection_and_no_other(twined, bytes_, what):
    daemon = twined(accepting())
    served, waiting = daemon.connect("echo"), daemon.connect("echo")
    served.sendall(text_header() + b"hi")
    assert receive(served, 2) == b"hi"
    waiting.sendall(text_header()[:20])
    wrong = daemon.connect("echo")
    with contextlib.suppress(OSError):
        wrong.sendall(bytes_)
    assert is_turned_away(wrong)
    daemon.wait_log(rf"info: echo \S+: {own_text(wrong)}: refused: bad_proxy_header:"
                    rf" {re.escape(what)}$")
    served.sendall(b"ho")
    assert receive(served, 2) == b"ho"
    waiting.sendall(text_header()[20:] + b"hi")
    assert receive(waiting, 2) == b"hi"
    assert "; closed: bad_proxy_header 1" in summary(daemon)


def test_peers_that_go_before_their_header_are_counted_by_how(twined):
    daemon = twined(accepting())
    for number, (bytes_, end, reason) in enumerate((
            (b"", socket.socket.close, "peer_closed"),
            (b"PROXY", socket.socket.close, "bad_proxy_header: it ends too early"),
            (binary_header()[:-1], socket.socket.close, "bad_proxy_header: it ends too early"),
            (b"", reset, "peer_reset"))):
        client = daemon.connect("echo")
        client.sendall(bytes_)
        wait_for(lambda: summary(daemon).startswith("1 open"), "it has been accepted")
        name = own_text(client)
        end(client)
        daemon.wait_log(rf": {name}: refused: {reason}$")
        wait_for(lambda: summary(daemon).startswith("0 open"), "it is counted")
        assert summary(daemon).startswith(f"0 open, {number + 1} accepted, 0 bytes in")
    before = len(daemon.descriptors())
    assert exchange(daemon.connect("echo"), text_header() + b"hi") == b"hi"
    wait_for(lambda: len(daemon.descriptors()) <= before, "no descriptor is left open")


def test_a_header_that_does_not_come_in_time_frees_its_place(twined):
    daemon = twined("[daemon]\nthreads = 2\n" + accepting(max_connections="4"))
    begun = time.monotonic()
    silent, text, binary, slow = clients = [daemon.connect("echo") for _ in range(4)]
    text.sendall(text_header()[:-1])
    binary.sendall(binary_header()[:-1])
    late = daemon.connect("echo")
    late.sendall(text_header() + b"hi")
    wait_for(lambda: summary(daemon).startswith("4 open"), "every place is taken")
    cpu = daemon.cpu_time()
    for byte in text_header()[:20]:		# what comes in drops gains no time
        if not is_silent(late, TIMEOUT_S / 40):
            break			# we are slow
        with contextlib.suppress(ConnectionError):
            slow.sendall(bytes([byte]))
    assert is_silent(late, 0) or time.monotonic() - begun >= TIMEOUT_S - 0.1
    assert daemon.cpu_time() - cpu < 0.3 * SLOW
    for client in clients:
        assert is_turned_away(client)
        assert TIMEOUT_S - 0.1 <= time.monotonic() - begun < TIMEOUT_S + PATIENCE
    assert receive(late, 2) == b"hi"
    for client, part in ((silent, "none"), (text, "a part of it"), (binary, "a part of it")):
        daemon.wait_log(rf"info: \S+ \S+: {own_text(client)}: refused: proxy_header_timeout:"
                        rf" {part} has come$")
    assert "proxy_header_timeout 4" in summary(daemon)


def test_many_silent_connections_cost_little(twined):
    daemon = twined(accepting())
    exchange(daemon.connect("echo"), text_header() + b"hi")
    count = 200 if SANITIZED else 2000
    before = daemon.rss()

    def connect(step):
        clients = [daemon.connect("echo") for _ in range(count)]
        for client in clients:
            client.sendall(b"P")
        step()
        # For a few seconds, which is when the first of them are turned away.
        wait_for(lambda: summary(daemon).startswith(f"{count} open"), "all are there", TIMEOUT_S)
        assert SANITIZED or daemon.rss() - before < count * 1024
    despite_stalls(1, connect)
    assert exchange(daemon.connect("echo"), binary_header() + b"hi") == b"hi"


@pytest.mark.parametrize("after", [
    listener("it", "echo", deny="all"), listener("other", "echo")], ids=["changed", "removed"])
@pytest.mark.parametrize("protocol", ["echo", "proxy"])
def test_a_header_owed_over_a_reload_is_judged_as_it_was_promised(twined, server, protocol, after):
    upstream = server(lambda peer: peer.sendall(receive_all(peer)))
    keys = {"upstream": upstream} if protocol == "proxy" else {}
    daemon = twined("[daemon]\nthreads = 2\n" + accepting(protocol, "it", **keys))
    clients = [daemon.connect("it") for _ in range(4)]
    for client in clients:
        client.sendall(binary_header()[:20])
    wait_for(lambda: summary(daemon).startswith("4 open"), "all are there")
    result = daemon.reload("[daemon]\nthreads = 2\n" + after)
    assert result.returncode == 0, result.stderr
    for client in clients:
        assert exchange(client, binary_header()[20:] + b"hi") == b"hi"
    wait_for(lambda: len(daemon.lines(f": {CLIENT_TEXT}: open$")) == 4, "all are logged")


def test_a_stop_does_not_wait_for_headers(twined):
    daemon = twined("[daemon]\nthreads = 2\nshutdown_timeout = 1h\n" + accepting())
    clients = [daemon.connect("echo") for _ in range(4)]
    for client in clients:
        client.sendall(text_header()[:-1])
    wait_for(lambda: summary(daemon).startswith("4 open"), "all are there")
    daemon.stop()
    assert all(is_turned_away(client) for client in clients)
    assert len(daemon.lines(": refused: shutdown$")) == 4


@BOTH
def test_a_header_that_is_there_at_the_stop_is_served(twined, header):
    daemon = twined("[daemon]\nthreads = 2\n" + accepting("daytime"))
    clients = [daemon.connect("daytime") for _ in range(20)]
    for client in clients:
        client.sendall(header()[:-1])
    wait_for(lambda: summary(daemon).startswith("20 open"), "all are there")
    for client in clients:
        client.sendall(header()[-1:])
    daemon.signal(signal.SIGTERM)
    assert all(receive_all(client).endswith(b"\r\n") for client in clients)
    daemon.close_clients()
    daemon.stop()
    assert len(daemon.lines(f": {CLIENT_TEXT}: closed: ")) == 20
