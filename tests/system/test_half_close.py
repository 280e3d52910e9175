"""Half-closes, in each order and over each pair of transports: what is owed arrives, all of it."""

import socket
import time

import pytest

from ends import WAYS, fill, meanwhile, receive_pattern, send_pattern
from support import SANITIZED, wait_for

PAUSE = 0.8				# what others take for the end of all
MORE = 4 << 20
SIZE = 8 << 20
TRANSFERS = 200 if SANITIZED else 1000


def owe(end, place, size):
    """Sends what nobody reads yet: how much is owed in all, and what sends the rest and the end."""
    filled = 0 if size == "small" else fill(end, place)		# no buffer on the way has room
    rest = 5000 if size == "small" else MORE

    def finish():
        send_pattern(end, place + filled, rest)
        end.shutdown(socket.SHUT_WR)
    return filled + rest, finish


def one_end_first(first, second, size):
    """One end sends all and half-closes; the other reads it, pauses, and answers with as much."""
    owed, finish = owe(first, 0, size)

    def answer():
        received = receive_pattern(second, 0)
        time.sleep(PAUSE)		# what is waited for is the time itself
        send_pattern(second, 99, owed)
        second.shutdown(socket.SHUT_WR)
        return received
    _, came, received = meanwhile(finish, lambda: receive_pattern(first, 99), answer)
    assert received == came == owed
    return owed, owed


def server_first(client, upstream, size):
    return one_end_first(upstream, client, size)


def both_at_once(client, upstream, size):
    """Both send all they have and half-close before anybody reads, as far as buffers let them."""
    (client_owes, client_finish), (upstream_owes, upstream_finish) = \
        owe(client, 0, size), owe(upstream, 99, size)
    readers = [lambda: receive_pattern(upstream, 0), lambda: receive_pattern(client, 99)]
    if size == "small":
        client_finish()
        upstream_finish()
        received = meanwhile(*readers)
    else:
        received = meanwhile(*readers, client_finish, upstream_finish)[:2]
    assert received == [client_owes, upstream_owes]
    return client_owes, upstream_owes


@pytest.mark.parametrize("size", ["small", "larger than all buffers"])
@pytest.mark.parametrize("order", [one_end_first, server_first, both_at_once])
def test_each_end_of_a_stream_is_passed_on_after_all_its_bytes(routes, order, size):
    def run(route):
        client_sent, upstream_sent = order(*route.connect(), size)
        route.hang_up()
        route.daemon.wait_log(f"{route.name} .* closed: peer_closed, {client_sent} bytes in, "
                              f"{upstream_sent} out, ")
    meanwhile(*[lambda route=route: run(route) for route in routes(*WAYS)])


def test_many_transfers_end_with_a_half_close_and_nothing_is_lost(routes):
    """Over each pair of transports two at a time; clients and servers take turns to end first."""
    def transfer(route, number):
        client, upstream = route.connect()
        first, second = (client, upstream) if number % 2 else (upstream, client)

        def send():
            send_pattern(first, number, SIZE)
            first.shutdown(socket.SHUT_WR)
            return first.recv(100)

        def answer():
            received = receive_pattern(second, number)
            second.sendall(b"%d" % received)
            second.shutdown(socket.SHUT_WR)
            return received
        answered, received = meanwhile(send, answer)
        assert (received, answered) == (SIZE, b"%d" % SIZE)
        assert first.recv(100) == b""
        route.hang_up()

    def run(route):
        for number in range(TRANSFERS // len(ways)):
            transfer(route, number)
    ways = WAYS * 2
    made = routes(*ways)
    meanwhile(*[lambda route=route: run(route) for route in made])
    daemon = made[0].daemon
    wait_for(lambda: len(daemon.lines(": closed: peer_closed, ")) == TRANSFERS, "all have ended")
