"""send_proxy: an upstream is told, before anything else, for which client its connection is."""

import socket
import struct

import pytest

from support import exchange, listener, receive, receive_all

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def header(version, client):
    """What stands before the bytes of a client, over TCP or a unix socket."""
    if client.family == socket.AF_UNIX:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else SIGNATURE + b"\x20\x00\x00\x00"
    source, destination = client.getsockname()[:2], client.getpeername()[:2]
    inet6 = client.family == socket.AF_INET6
    if version == "v1":
        return (f"PROXY TCP{6 if inet6 else 4} {source[0]} {destination[0]} "
                f"{source[1]} {destination[1]}\r\n").encode()
    block = b"".join(socket.inet_pton(client.family, host) for host, _ in (source, destination))
    block += struct.pack(">HH", source[1], destination[1])
    return SIGNATURE + struct.pack(">BBH", 0x21, 0x21 if inet6 else 0x11, len(block)) + block


def send_back(connection):
    connection.sendall(receive_all(connection))


@BOTH
@pytest.mark.parametrize("listen", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://*:0", "unix"])
def test_the_header_comes_before_the_clients_first_byte(twined, server, directory, version, listen):
    if listen == "unix":
        listen = f"unix://{directory}/s"
    daemon = twined(listener("web", "proxy", listen, upstream=server(send_back),
                             send_proxy=version))
    for _ in range(3):
        client = daemon.connect("web", listen.split(":")[0])
        expected = header(version, client)
        assert exchange(client, b"first bytes") == expected + b"first bytes"


@BOTH
def test_a_server_that_speaks_first_has_the_header_already(twined, server, directory, version):
    def greet(connection):
        length = len(connection.recv(1 << 16))
        connection.sendall(b"%d" % length)
    daemon = twined(listener("web", "proxy", upstream=server(greet, f"{directory}/up"),
                             send_proxy=version))
    client = daemon.connect("web")
    assert receive_all(client) == b"%d" % len(header(version, client))


@BOTH
def test_the_header_goes_to_the_upstream_that_answers(twined, server, refusing, starting, version):
    upstream = starting(send_back)
    daemon = twined(listener("web", "proxy", upstream=f"{refusing}, {upstream.address}",
                             send_proxy=version, wait_for_upstream="1m"))
    client = daemon.connect("web")
    expected = header(version, client)
    client.sendall(b"early")
    client.shutdown(socket.SHUT_WR)
    upstream.start_in(0.3)
    assert receive_all(client) == expected + b"early"


@BOTH
def test_one_proxy_tells_another_who_the_client_is(twined, server, version):
    """Through a chain of two that tell, the client of the first one is the client of both."""
    last = twined(listener("last", "proxy", upstream=server(send_back), send_proxy="v1",
                           accept_proxy="127.0.0.1"))
    first = twined(listener("first", "proxy", upstream=last.address("last"), send_proxy=version))
    client = first.connect("first")
    expected = header("v1", client)
    assert exchange(client, b"hi") == expected + b"hi"
    last.wait_log(r": tcp://%s:%d: closed: peer_closed, 2 bytes in" % client.getsockname())


def test_without_send_proxy_there_is_no_header(twined, server):
    daemon = twined(listener("web", "proxy", upstream=server(send_back)))
    client = daemon.connect("web")
    client.sendall(b"hi")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == b"hi"
