"""proxy: checks find out whether upstreams serve, and say why they do not."""

import re
import signal
import socket

import pytest

from backends import ask, backend, reply	# backend is a fixture
from datagram_peers import upstream		# so is this
from support import PATIENCE, SLOW, listener, receive, receive_all, wait_for

QUICK = {"check_interval": "50ms", "fail_timeout": "100ms"}
# A check may take as long as it is to the next one, but no less than half a second.
UNHURRIED = {"check_interval": "2s"}
PING = r'"PING\r\n" "+PONG"'


def proxy(twined, *upstreams, **keys):
    texts = [one if isinstance(one, str) else one.address for one in upstreams]
    return twined(listener("web", "proxy", upstream=", ".join(texts), **{**QUICK, **keys}))


def wait_down(daemon, server, why, failures=r"\d+"):
    daemon.wait_log(rf"warning: web: upstream {server.address}: "
                    rf"down after {failures} failures?: {why}$")


def downs(daemon):
    """
    The lines of those that went down; a slow machine has checks that time out, and that is no
    fault.
    """
    return daemon.lines(": down after .*: (?!Connection timed out$)")


def test_one_that_does_not_accept_is_down_before_a_client_finds_out(twined, backend):
    a, b = backend("a", up=False), backend("b")
    daemon = proxy(twined, a, b, check="connect")
    wait_down(daemon, a, "Connection refused", failures="1")
    assert {ask(daemon) for _ in range(10)} == {"b"}
    # No client was refused; the checks are no news.
    assert not daemon.lines(f"{a.address}: Connection refused")
    a.start()
    daemon.wait_log(rf"notice: web: upstream {a.address}: up$")
    wait_for(lambda: ask(daemon) == "a", "a serves")


def test_one_that_goes_takes_max_fails_checks(twined, backend):
    a = backend("a")
    daemon = proxy(twined, a, check="connect", max_fails=4)
    wait_for(lambda: a.accepted > 2, "checks")
    a.stop()
    wait_down(daemon, a, "Connection refused", failures="4")


def test_with_checks_only_a_check_brings_one_back(twined, backend):
    a = backend("a", reply)
    a.answer = b"-ERR not yet\r\n"
    daemon = proxy(twined, a, check=PING, max_fails=1)
    wait_down(daemon, a, '(the answer begins "-ERR not yet"|Connection timed out)')
    # It accepts clients, and is tried for want of another; that does not make it serve.
    for _ in range(5):
        client = daemon.connect("web")
        client.sendall(b"x")
        assert client.recv(100) == a.answer
    seen = len(a.heard)
    wait_for(lambda: len(a.heard) > seen + 5, "more checks")
    assert not daemon.lines(": up$")
    a.answer = b"+PONG\r\n"
    daemon.wait_log(": up$")


def test_the_answer_decides(twined, backend):
    a, b = backend("a", reply), backend("b", reply)
    a.answer = b"-LOADING Redis is loading the dataset in memory\r\n"
    b.answer = b"+PONG\r\n"
    daemon = proxy(twined, a, b, check=PING, **UNHURRIED)
    wait_down(daemon, a, 'the answer begins "-LOADING Redis is loading the dataset in"',
              failures="1")
    assert not daemon.lines(re.escape(b.address))
    a.answer = b.answer
    daemon.wait_log(rf"{a.address}: up$")
    assert set(a.heard) == {b"PING\r\n"}


def test_any_byte_may_be_sent_and_expected(twined, backend):
    a = backend("a", reply)
    a.answer = b"\x00\xff\"\\ok and more"
    daemon = proxy(twined, a, check=r'"\x00\xff\"\\\0\t" "\x00\xff\"\\ok"',
                   **UNHURRIED)
    wait_for(lambda: len(a.heard) > 1, "checks")
    assert set(a.heard) == {b"\x00\xff\"\\\x00\t"}
    assert not downs(daemon)
    a.answer = b"\x00\xff\"\\oh\x1b[2J"
    wait_down(daemon, a, re.escape(r'the answer begins "') + '.*')
    # Nothing that comes from it can spoil the log.
    assert not [line for line in daemon.log if "\x1b" in line]


def test_one_that_speaks_first_is_not_asked(twined, backend):
    a = backend("220 hello\r\n")
    daemon = proxy(twined, a, check='"" "220 "')
    wait_for(lambda: a.accepted > 3, "checks")
    assert not downs(daemon)


def test_a_long_answer_is_neither_waited_for_nor_kept(twined, backend):
    def pour(_, connection):
        while True:
            connection.sendall(b"+" * 65536)
    a = backend("a", pour)
    daemon = proxy(twined, a, check='"" "+++"', **UNHURRIED)
    wait_for(lambda: a.accepted > 1, "checks")
    assert not daemon.lines(": down after")


@pytest.mark.parametrize("handler, why", [
    (lambda _, connection: connection.recv(100) and connection.recv(100), "Connection timed out"),
    (lambda _, connection: connection.recv(100) and connection.sendall(b"+PO"),
     "the connection ended without the answer"),
    (lambda _, connection: connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                 b"\1\0\0\0\0\0\0\0"), "Connection reset by peer"),
], ids=["silence", "end", "reset"])
def test_what_is_no_answer_fails(twined, backend, handler, why):
    a = backend("a", handler)
    limit = {"connect_timeout": "100ms"} if why == "Connection timed out" else UNHURRIED
    daemon = proxy(twined, a, check=PING, **limit)
    wait_down(daemon, a, why, failures="1")


@pytest.mark.parametrize("version, header", [("v1", b"PROXY UNKNOWN\r\n"),
                                             ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")])
def test_a_check_begins_with_a_header_that_names_nobody(twined, backend, version, header):
    heard = []
    a = backend("a", lambda _, connection: heard.append(receive(connection, len(header) + 6)))
    proxy(twined, a, check=PING, send_proxy=version)
    wait_for(lambda: heard, "a check")
    assert heard[0] == header + b"PING\r\n"


def test_who_accepts_and_refuses_the_header_is_down(twined, backend):
    a = backend("a", lambda _, connection: connection.recv(100))
    b = backend("b", lambda _, connection: receive_all(connection))
    daemon = proxy(twined, a, b, check="connect", send_proxy="v1")
    wait_down(daemon, a, "the connection ended at its PROXY header")
    wait_for(lambda: b.accepted > 3, "checks")
    assert not daemon.lines(re.escape(b.address))


def test_checks_come_from_the_source_address(twined, backend):
    seen = []
    a = backend("a", lambda _, connection: seen.append(connection.getpeername()[0]))
    proxy(twined, a, check="connect", bind="127.0.0.77")
    wait_for(lambda: seen, "a check")
    assert set(seen) == {"127.0.0.77"}


def test_checks_are_no_connections_of_the_listener(twined, backend):
    a = backend("a")
    daemon = proxy(twined, a, check="connect")
    wait_for(lambda: a.accepted > 5, "checks")
    assert not daemon.lines(": open|: closed: ")
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log("web: 0 open, 0 accepted")


def test_checks_leave_no_descriptor_behind(twined, backend):
    a, b = backend("a"), backend("b", up=False)
    daemon = proxy(twined, a, b, check="connect")
    wait_for(lambda: a.accepted > 3, "checks")
    before = len(daemon.descriptors())
    since = a.accepted
    wait_for(lambda: a.accepted > since + 20, "more checks")
    wait_for(lambda: len(daemon.descriptors()) <= before, "as many descriptors as before")


def test_a_reload_ends_the_checks_of_what_is_gone(twined, backend):
    a, b = backend("a"), backend("b")
    daemon = proxy(twined, a, check="connect")
    wait_for(lambda: a.accepted > 2, "checks")
    assert daemon.reload(listener("web", "proxy", upstream=b.address, check="connect",
                                  check_interval="50ms")).returncode == 0
    wait_for(lambda: b.accepted > 0, "checks of the new one")
    with socket.create_connection(("127.0.0.1", a.port), PATIENCE) as last:
        assert last.recv(1) == b"a"		# all that came before it has been accepted
    since = a.accepted
    wait_for(lambda: b.accepted > 10, "more of them")
    assert a.accepted <= since + 1


def test_a_stop_in_the_middle_of_a_check_is_a_good_one(twined, backend):
    a = backend("a", lambda _, connection: connection.recv(100) and connection.recv(100))
    daemon = proxy(twined, a, check=PING, check_interval=f"{int(20 * SLOW)}s",
                   connect_timeout=f"{int(20 * SLOW)}s")
    wait_for(lambda: a.accepted, "a check")
    daemon.stop()


def test_a_datagram_server_is_asked_with_a_datagram(twined, upstream, directory):
    answers = {"it": b"pong, and more"}

    def answer(data, _source):
        return [answers["it"]] if data == b"ping" else [b"served"]
    for address in ("udp://127.0.0.1:0", "udp://[::1]:0", f"unixgram://{directory}/up"):
        answers["it"] = b"pong, and more"
        a = upstream(address, answer)
        daemon = twined(listener("dns", "proxy", "udp://127.0.0.1:0", upstream=a.address,
                                 check='"ping" "pong"', **QUICK))
        a.wait(4, "checks")
        assert not downs(daemon)
        since = len(daemon.log)
        answers["it"] = b"po"
        daemon.wait_log(rf'upstream {re.escape(a.address)}: down after 3 failures: '
                        '(the answer begins "po"|Connection timed out)$', since)
        since = len(daemon.log)
        answers["it"] = b"pong"
        daemon.wait_log(": up$", since)
        client = daemon.connect("dns", "udp")
        client.send(b"hello")
        assert client.recv(100) == b"served"


def test_a_datagram_server_that_is_not_there_or_silent_is_down(twined, upstream):
    a, b, c = upstream(), upstream(answer=lambda *_: []), upstream(answer=lambda *_: [b"pong"])
    a.close()
    daemon = twined(listener("dns", "proxy", "udp://127.0.0.1:0", check='"ping" "pong"',
                             connect_timeout=f"{int(500 * SLOW)}ms", **QUICK,
                             upstream=f"{a.address}, {b.address}, {c.address}"))
    daemon.wait_log(f"{a.address}: down after 1 failure: Connection refused$")
    daemon.wait_log(f"{b.address}: down after 1 failure: Connection timed out$")

    def are_served():
        """On a slow machine the third may be down for a while, too."""
        for _ in range(6):
            client = daemon.connect("dns", "udp")
            client.settimeout(1)
            client.send(b"hello")
            try:
                assert client.recv(100) == b"pong"
            except TimeoutError:
                return False
        return True
    wait_for(are_served, "six are served one after another")


def test_a_real_server_that_is_killed_and_started_again(twined, real_server):
    redis = real_server()

    def command(server):
        return ["redis-server", "--port", str(server.port), "--bind", "127.0.0.1", "--save", "",
                "--daemonize", "no"]
    redis.start(command)
    daemon = proxy(twined, redis.address(), check=PING, max_fails=2)
    client = daemon.connect("web")
    client.sendall(b"SET a 1\r\nGET a\r\n")
    assert receive(client, 12) == b"+OK\r\n$1\r\n1\r\n"
    redis.kill()
    daemon.wait_log(": down after [12] failures?: Connection re(fused|set by peer)$")

    def at_the_same_port(server):
        server.port = redis.port
        return command(server)
    real_server().start(at_the_same_port)
    daemon.wait_log(": up$")
    client = daemon.connect("web")
    client.sendall(b"GET a\r\n")
    assert receive(client, 5) == b"$-1\r\n"
