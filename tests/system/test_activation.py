"""Sockets passed by name, sd_listen_fds(3), with a wrapper in systemd's place."""

import fcntl
import os
import re
import socket
import sys

import pytest

from support import exchange, listener, receive, receive_all, run

# Becomes the daemon with the descriptors 3, 4, ... as they are, and its own pid in LISTEN_PID.
WRAPPER = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def passed(twined):
    """Starts a daemon that is passed sockets: name to socket, or pairs of both."""
    def start(config, sockets, **options):
        def place():
            # Out of the way first: the numbers to come may be in use.
            high = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for _, one in sockets]
            for number, fd in enumerate(high):
                os.dup2(fd, 3 + number, inheritable=True)
            os.closerange(3 + len(high), 200)
        environment = {"LISTEN_FDS": str(len(sockets)),
                       "LISTEN_FDNAMES": ":".join(name for name, _ in sockets)}
        return twined(config, env=environment, before_exec=place,
                      wrapper=[sys.executable, "-c", WRAPPER], **options)
    return start


@pytest.fixture
def tcp():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield listening


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


@pytest.fixture
def unix(directory):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{directory}/passed")
        listening.listen(100)
        yield listening


def url(sock):
    if sock.family == socket.AF_UNIX:
        return f"unix://{sock.getsockname()}"
    scheme = "tcp" if sock.type == socket.SOCK_STREAM else "udp"
    return "%s://%s:%d" % (scheme, *sock.getsockname())


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_sockets_of_every_kind_are_served_by_name(passed, tcp, udp, unix, threads):
    config = (f"[daemon]\nthreads = {threads}\n" + listener("web", "echo", "systemd:web")
              + listener("gram", "echo", "systemd:gram")
              + listener("local", "time", "systemd:local"))
    # In another order than in the file.
    daemon = passed(config, [("local", unix), ("gram", udp), ("web", tcp)])
    for _ in range(threads * 3):
        assert exchange(daemon.connect_to(url(tcp)), b"hello") == b"hello"
    client = daemon.connect_to(url(udp))
    client.send(b"hello")
    assert client.recv(10) == b"hello"
    assert len(receive_all(daemon.connect_to(url(unix)))) == 4


def test_sockets_that_share_a_name_are_all_served(passed, tcp, udp, unix):
    daemon = passed(listener("all", "echo", "systemd:all"),
                    [("all", tcp), ("all", udp), ("all", unix)])
    for one in (tcp, unix):
        assert exchange(daemon.connect_to(url(one)), b"hello") == b"hello"
    client = daemon.connect_to(url(udp))
    client.send(b"hello")
    assert client.recv(10) == b"hello"


def test_who_connected_before_the_start_is_served(passed, tcp):
    early = socket.create_connection(tcp.getsockname(), 10)
    early.sendall(b"early")
    passed(listener("web", "echo", "systemd:web"), [("web", tcp)])
    assert receive(early, 5) == b"early"
    early.close()


def test_a_passed_socket_that_blocks_does_not_block_it(passed, tcp):
    tcp.setblocking(True)
    daemon = passed("[daemon]\nthreads = 1\n" + listener("web", "echo", "systemd:web"),
                    [("web", tcp)])
    for _ in range(3):
        assert exchange(daemon.connect_to(url(tcp)), b"hello") == b"hello"


def test_an_unclaimed_socket_is_a_warning(passed, tcp, udp):
    daemon = passed(listener("web", "echo", "systemd:web"), [("web", tcp), ("spare", udp)])
    daemon.wait_log("warning: .*spare")
    assert exchange(daemon.connect_to(url(tcp)), b"hello") == b"hello"


def test_a_name_that_was_not_passed_is_an_error(passed, tcp):
    daemon = passed(listener("web", "echo", "systemd:wbe"), [("web", tcp)], ready=False)
    assert "systemd:wbe" in daemon.fail()


def test_a_kind_of_socket_that_does_not_fit_what_the_protocol_is_told_is_an_error(passed, tcp, udp):
    config = listener("web", "proxy", "systemd:web", upstream="tcp://127.0.0.1:1")
    daemon = passed(config, [("web", udp), ("web", tcp)], ready=False)
    assert re.search(r'listen: "udp://127\.0\.0\.1:\d+" is for datagrams, and no upstream is',
                     daemon.fail())


def test_a_passed_datagram_socket_of_a_relay_is_not_for_those_who_only_receive(passed, udp):
    daemon = passed(listener("lines", "relay", "systemd:lines", role="out"), [("lines", udp)],
                    ready=False)
    assert re.search(r'"udp://127\.0\.0\.1:\d+" is for datagrams, .*: expected role = in or both',
                     daemon.fail())


def test_connections_of_passed_sockets_may_begin_with_a_proxy_header(passed, tcp, unix):
    daemon = passed(listener("web", "echo", "systemd:web", accept_proxy="127.0.0.1, unix"),
                    [("web", tcp), ("web", unix)])
    for one in (tcp, unix):
        client = daemon.connect_to(url(one))
        assert exchange(client, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello") == b"hello"
        daemon.wait_log(rf": web {url(one)}: tcp://192\.0\.2\.1:1: closed: ")


def test_a_passed_datagram_socket_cannot_begin_with_a_proxy_header(passed, udp):
    daemon = passed(listener("web", "echo", "systemd:web", accept_proxy="all"), [("web", udp)],
                    ready=False)
    assert "accept_proxy cannot hold" in daemon.fail()


def test_a_socket_that_does_not_listen_is_an_error(passed):
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        daemon = passed(listener("web", "echo", "systemd:web"), [("web", idle)], ready=False)
        assert "systemd:web" in daemon.fail()


def test_a_passed_unix_socket_is_not_removed_at_the_end(passed, unix, directory):
    daemon = passed(listener("local", "echo", "systemd:local"), [("local", unix)])
    mode = os.stat(f"{directory}/passed").st_mode
    assert exchange(daemon.connect_to(url(unix)), b"hello") == b"hello"
    daemon.close_clients()
    daemon.stop()
    assert os.stat(f"{directory}/passed").st_mode == mode


def test_a_socket_outlives_reloads_that_drop_it_and_claim_it_again(passed, tcp):
    web, other = listener("web", "echo", "systemd:web"), listener("other", "echo")
    daemon = passed(web + other, [("web", tcp)])
    assert daemon.reload(other).returncode == 0
    daemon.wait_log("warning: .*web")
    waiting = daemon.connect_to(url(tcp))
    waiting.sendall(b"hello")
    assert daemon.reload(web + other).returncode == 0
    assert receive(waiting, 5) == b"hello"
    assert daemon.reload(listener("renamed", "echo", "systemd:web")).returncode == 0
    assert exchange(daemon.connect_to(url(tcp)), b"hello") == b"hello"


def test_descriptors_for_another_process_are_not_taken(twined, tcp):
    daemon = twined(listener("web", "echo", "systemd:web"), ready=False,
                    env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "LISTEN_PID": "1"})
    assert "systemd:web" in daemon.fail()


def test_test_accepts_a_passed_socket_that_is_not_there():
    assert run("-t", "-L", "echo systemd:web").returncode == 0
