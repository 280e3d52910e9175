"""A proxy of datagrams between real interfaces: larger than a packet, and refusals that come
later."""

import random
import socket
import time

import pytest

from datagram_peers import Upstream, summary
from namespaces import Namespace, link
from support import PATIENCE, listener, wait_for

PORT = 5353


@pytest.fixture
def network(root):
    """A client's machine, the proxy's and the server's, in a row."""
    spaces = [Namespace() for _ in range(3)]
    client, proxy, server = spaces
    link(client, "front", "10.9.1.1/24", proxy, "front", "10.9.1.2/24")
    link(proxy, "back", "10.9.2.1/24", server, "back", "10.9.2.2/24")
    yield client, proxy, server
    for space in spaces:
        space.close()


@pytest.fixture
def serve(network):
    """Starts upstreams on the server's machine."""
    started = []

    def start(port, **keys):
        started.append(network[2].call(lambda: Upstream(f"udp://10.9.2.2:{port}", **keys)))
        return started[-1]
    yield start
    for one in started:
        one.close()


def client_of(network):
    def make():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.connect(("10.9.1.2", PORT))
        client.settimeout(PATIENCE)
        return client
    return network[0].call(make)


def proxy(twined, network, upstream, **keys):
    keys = {"udp_amplify": "yes", "udp_reply_rate": "none", "upstream": upstream, **keys}
    return twined(listener("it", "proxy", f"udp://*:{PORT}", **keys), wrapper=network[1].enter)


def test_bursts_of_any_size_pass_whole_and_in_order(twined, network, serve):
    serve(7)
    proxy(twined, network, "udp://10.9.2.2:7")
    with client_of(network) as client:
        # Several of one size go as one message, up to what a packet of 1,500 bytes holds.
        for size in (1, 100, 1200, 1471, 1472, 1473, 2000, 4000, 8000):
            for _ in range(5):
                requests = [random.randbytes(size) for _ in range(8)]
                requests.append(random.randbytes(size // 2))
                for request in requests:
                    client.send(request)
                assert [client.recv(1 << 16) for _ in requests] == requests
        largest = random.randbytes(65507)
        client.send(largest)
        assert client.recv(1 << 16) == largest


def test_a_refusal_that_comes_later_moves_the_flow(twined, network, serve):
    server = serve(7)
    daemon = proxy(twined, network, "udp://10.9.2.2:9, udp://10.9.2.2:7 backup", max_fails="none")
    with client_of(network) as client:
        client.settimeout(0.05)
        client.send(b"lost, or sent again")

        def served():
            client.send(b"?")
            try:
                return client.recv(100)
            except TimeoutError:
                return None
        wait_for(served, "the other upstream answers")
        daemon.wait_log(r"upstream udp://10\.9\.2\.2:9: Connection refused$")
        assert summary(daemon, "it")["flows open"] == 1
    assert server.received


def test_an_upstream_without_a_way_counts_as_failed(twined, network, serve):
    serve(7)
    daemon = proxy(twined, network, "udp://192.0.2.1:7, udp://10.9.2.2:7 backup", max_fails="none")
    with client_of(network) as client:
        client.send(b"?")
        assert client.recv(10) == b"?"
    daemon.wait_log(r"upstream udp://192\.0\.2\.1:7: Network is unreachable$")


def test_a_distant_client_is_not_answered_with_more_than_it_has_sent(twined, network, serve):
    answers = [b"a" * 60, b"b" * 60, b"c" * 40]
    serve(7, answer=lambda data, source: answers)
    daemon = proxy(twined, network, "udp://10.9.2.2:7", udp_amplify="auto")
    with client_of(network) as client:
        client.send(b"x" * 100)
        assert [client.recv(100) for _ in range(2)] == [answers[0], answers[2]]
        wait_for(lambda: summary(daemon, "it").get("long") == 1, "one is dropped")


def test_a_distant_client_gets_a_thousand_answers_a_second(twined, network, serve):
    serve(7)
    daemon = proxy(twined, network, "udp://10.9.2.2:7", udp_reply_rate="auto")
    with client_of(network) as client:
        started = time.monotonic()

        def some_are_dropped():
            # Much faster than that, and what is too fast for the system is lost on the way.
            for _ in range(3000):
                client.send(b"?")
            return summary(daemon, "it").get("rate", 0) > 0
        wait_for(some_are_dropped, "the rate holds")
        out = summary(daemon, "it")["datagrams out"]
        assert 1000 <= out <= 1000 * (1 + time.monotonic() - started) + 50
