"""Slow links that lose packets between client, proxy and server, each in a network of its own.

A token bucket filter with next to no queue drops what comes too fast, and TCP finds out how fast
that is by trying: that is the loss.
"""

import re
import socket
import time

import pytest

from ends import meanwhile, receive_pattern, send_pattern
from namespaces import Namespace, link
from servers import program
from support import PATIENCE, listener, receive_all, wait_for

LOSSY = "tbf rate 20mbit burst 4k limit 8k"
BLACKHOLE = "blackhole"			# takes every packet, and says nothing
SIZE = 1 << 20
PORT = 7000				# every network is our own
SERVER = f"tcp://[fd00::1]:{PORT}"
NOWHERE = f"tcp://[fd00::99]:{PORT}"	# a host that has gone, which nobody has noticed yet


class Links:
    """Three networks in a row: client 10.0.0.1 - 10.0.0.2 proxy fd00::2 - fd00::1 server."""

    def __init__(self):
        self.opened = []
        self.spaces = []
        self.client, self.proxy, self.server = [self.space() for _ in range(3)]
        self.ends = [(self.client, "front"), (self.proxy, "front"), (self.proxy, "back"),
                     (self.server, "back")]

    def space(self):
        self.spaces.append(Namespace())
        return self.spaces[-1]

    def connect(self):
        """Links the networks."""
        link(self.client, "front", "10.0.0.1/24", self.proxy, "front", "10.0.0.2/24")
        link(self.proxy, "back", "fd00::2/64", self.server, "back", "fd00::1/64")
        self.proxy.run(program("ip"), "neigh", "add", "fd00::99", "lladdr", "02:00:00:00:00:99",
                       "dev", "back", "nud", "permanent")

    def shape(self, qdisc, devices=("front", "back")):
        """Gives both ends of links a queueing discipline (tc(8))."""
        for space, device in self.ends:
            if device in devices:
                space.run(program("tc"), "qdisc", "replace", "dev", device, "root", *qdisc.split())

    def dropped(self):
        """How many packets each end of a link has dropped."""
        texts = [space.run(program("tc"), "-s", "qdisc", "show", "dev", device)
                 for space, device in self.ends]
        return [int(re.search(r"dropped (\d+),", text)[1]) for text in texts]

    def open(self, space, family):
        """A socket in one of the networks."""
        end = space.call(lambda: socket.socket(family))
        end.settimeout(3 * PATIENCE)
        self.opened.append(end)
        return end

    def serve(self):
        """A socket that listens in the server's network."""
        listening = self.open(self.server, socket.AF_INET6)
        listening.bind(("fd00::1", PORT))
        listening.listen()
        return listening

    def dial(self):
        """A client's connection to the proxy."""
        client = self.open(self.client, socket.AF_INET)
        client.connect(("10.0.0.2", PORT))
        return client

    def accept(self, listening):
        end, _ = listening.accept()
        end.settimeout(3 * PATIENCE)
        self.opened.append(end)
        return end

    def close(self):
        for one in (*self.opened, *self.spaces):
            one.close()


@pytest.fixture
def links(root):
    made = Links()
    try:
        made.connect()
        yield made
    finally:
        made.close()


@pytest.fixture
def proxy(links, twined):
    def start(**keys):
        config = listener("web", "proxy", f"tcp://10.0.0.2:{PORT}", **{"upstream": SERVER, **keys})
        return twined(config, wrapper=links.proxy.enter)
    return start


def carry_both_ways(client, upstream, size=SIZE):
    """Both ends send and half-close at the same time, and get what the other has sent."""
    def send(end, place):
        send_pattern(end, place, size)
        end.shutdown(socket.SHUT_WR)
    came = meanwhile(lambda: receive_pattern(client, 99), lambda: receive_pattern(upstream, 0),
                     lambda: send(client, 0), lambda: send(upstream, 99))
    assert came[:2] == [size, size]


@pytest.mark.parametrize("devices", [["front"], ["back"], ["front", "back"]], ids="+".join)
def test_what_a_link_loses_is_not_lost_to_its_ends(links, proxy, devices):
    links.shape(LOSSY, devices)
    listening = links.serve()
    proxy()
    connections = [(links.dial(), links.accept(listening)) for _ in range(3)]
    meanwhile(*[lambda pair=pair: carry_both_ways(*pair) for pair in connections])
    assert all(count > 0 for count, (_, device) in zip(links.dropped(), links.ends)
               if device in devices)


def test_a_request_and_its_late_answer_cross_links_that_lose(links, proxy):
    """The client half-closes first, the server answers when it has all, and closes."""
    links.shape(LOSSY)
    listening = links.serve()
    daemon = proxy()
    client, upstream = links.dial(), links.accept(listening)

    def ask():
        send_pattern(client, 0, SIZE)
        client.shutdown(socket.SHUT_WR)
        return receive_pattern(client, 99)

    def answer():
        received = receive_pattern(upstream, 0)
        send_pattern(upstream, 99, received)
        upstream.close()
        return received
    assert meanwhile(ask, answer) == [SIZE, SIZE]
    client.close()
    daemon.wait_log(f"closed: peer_closed, {SIZE} bytes in, {SIZE} out")


def test_a_transfer_survives_a_link_that_is_down_for_a_while(links, proxy):
    listening = links.serve()
    proxy()
    client, upstream = links.dial(), links.accept(listening)
    links.shape(LOSSY)

    def interrupt():
        wait_for(lambda: min(links.dropped()) > 0, "the transfer is under way")
        links.shape(BLACKHOLE, ["back"])
        time.sleep(0.7)			# that is the while
        links.shape(LOSSY, ["back"])
    meanwhile(lambda: carry_both_ways(client, upstream), interrupt)


def test_a_black_hole_costs_connect_timeout_and_then_resets(links, proxy):
    daemon = proxy(upstream=NOWHERE, connect_timeout="300ms")
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        links.dial().recv(1)
    assert time.monotonic() - started > 0.25
    daemon.wait_log("closed: connect_timeout, ")


def test_who_meets_a_black_hole_is_served_by_another_upstream(links, proxy):
    listening = links.serve()
    proxy(upstream=f"{NOWHERE}, {SERVER}", connect_timeout="1s")
    clients = [links.dial() for _ in range(4)]
    for client in clients:
        send_pattern(client, 0, 5000)
        client.shutdown(socket.SHUT_WR)
    for _ in clients:
        upstream = links.accept(listening)
        assert receive_pattern(upstream, 0) == 5000
        upstream.sendall(b"answer")
        upstream.close()
    assert [receive_all(client) for client in clients] == [b"answer"] * len(clients)


@pytest.mark.parametrize("vanished", ["client", "server"])
def test_one_side_that_vanishes_in_mid_transfer_resets_the_other(links, proxy, vanished):
    listening = links.serve()
    daemon = proxy(write_timeout="1s")
    client, upstream = links.dial(), links.accept(listening)
    device, left = ("front", upstream) if vanished == "client" else ("back", client)
    send_pattern(left, 0, 5000)
    assert receive_pattern(upstream if left is client else client, 0, 5000) == 5000
    links.shape(BLACKHOLE, [device])
    with pytest.raises(ConnectionResetError):
        send_pattern(left, 0, 1 << 30)
    daemon.wait_log("closed: write_timeout, ")
