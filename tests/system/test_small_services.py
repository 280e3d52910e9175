"""The six small services on every kind of socket, as their RFCs have them."""

import datetime
import os
import re
import socket
import struct
import threading
import time

import pytest

from support import exchange, listener, push, receive, receive_all, wait_for

STREAMS = ["tcp", "unix"]
DATAGRAMS = ["udp", "unixgram"]
RING = bytes(range(32, 127))


@pytest.fixture
def serve(twined, directory):
    """One protocol on all four kinds of socket."""
    def start(protocol, **keys):
        listen = (f"tcp://127.0.0.1:0, udp://127.0.0.1:0, unix://{directory}/s, "
                  f"unixgram://{directory}/d")
        return twined(listener("it", protocol, listen, **keys))
    return start


def ask(daemon, scheme, request=b""):
    client = daemon.connect("it", scheme)
    client.send(request)
    return client.recv(70000)


def chargen_line(number):
    """RFC 864: 72 columns of the ring, one further each line."""
    return bytes(RING[(number + column) % 95] for column in range(72)) + b"\r\n"


# ---- echo, RFC 862

@pytest.mark.parametrize("scheme", STREAMS)
def test_echo_gives_every_byte_back(serve, scheme):
    client = serve("echo").connect("it", scheme)
    for data in (b"x", bytes(range(256)), b"\n", b"y" * 5000):
        client.sendall(data)
        assert receive(client, len(data)) == data


@pytest.mark.parametrize("scheme", STREAMS)
def test_echo_gives_back_what_was_owed_after_a_half_close(serve, scheme):
    data = os.urandom(8 << 20)
    daemon = serve("echo")
    client = daemon.connect("it", scheme)
    assert exchange(client, data) == data
    daemon.wait_log("closed: peer_closed, 8388608 bytes in, 8388608 out")


@pytest.mark.parametrize("scheme", STREAMS)
def test_echo_of_nothing_ends_the_stream(serve, scheme):
    client = serve("echo").connect("it", scheme)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b""


@pytest.mark.parametrize("scheme", STREAMS)
def test_echo_to_a_slow_reader_is_whole_after_its_half_close(serve, scheme):
    client = serve("echo").connect("it", scheme)
    pushed = push(client)
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"x" * pushed and pushed > 0


@pytest.mark.parametrize("scheme", DATAGRAMS)
@pytest.mark.parametrize("length", [0, 1, 512, 2048, 9000, 65507])
def test_echo_gives_a_datagram_back_whole(serve, scheme, length):
    data = os.urandom(length)
    client = serve("echo").connect("it", scheme)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    client.send(data)
    assert client.recv(70000) == data


@pytest.mark.parametrize("scheme", DATAGRAMS)
def test_echo_answers_each_of_many_datagrams_once_and_in_order(serve, scheme):
    client = serve("echo").connect("it", scheme)
    for start in range(0, 400, 8):
        for number in range(start, start + 8):
            client.send(b"%d" % number)
        for number in range(start, start + 8):
            assert client.recv(100) == b"%d" % number


def test_echo_answers_whoever_asked(serve):
    daemon = serve("echo")
    clients = [daemon.connect("it", "udp") for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(b"%d" % number)
    for number, client in enumerate(clients):
        assert client.recv(100) == b"%d" % number


def test_a_unix_datagram_of_a_client_without_a_name_is_no_error(serve, directory):
    daemon = serve("echo")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
        nameless.sendto(b"whom to answer?", f"{directory}/d")
    assert ask(daemon, "unixgram", b"hi") == b"hi"


# ---- discard, RFC 863

@pytest.mark.parametrize("scheme", STREAMS)
def test_discard_reads_everything_and_sends_nothing(serve, scheme):
    daemon = serve("discard")
    assert exchange(daemon.connect("it", scheme), b"x" * (32 << 20)) == b""
    daemon.wait_log("closed: peer_closed, 33554432 bytes in, 0 out")


@pytest.mark.parametrize("scheme", DATAGRAMS)
def test_discard_answers_no_datagram(serve, scheme):
    daemon = serve("discard")
    client = daemon.connect("it", scheme)
    for length in (0, 1, 65507):
        client.send(b"x" * length)
    daemon.stop()
    client.setblocking(False)
    with pytest.raises((BlockingIOError, ConnectionError)):
        client.recv(10)


# ---- chargen, RFC 864

@pytest.mark.parametrize("scheme", STREAMS)
def test_chargen_is_the_ring_for_ever(serve, scheme):
    client = serve("chargen").connect("it", scheme)
    length = 74 * 95 * 40
    text = receive(client, length)
    assert text == b"".join(chargen_line(number) for number in range(95)) * 40


def test_chargen_goes_on_after_the_half_close_and_ignores_what_it_is_sent(serve):
    client = serve("chargen").connect("it")
    client.sendall(b"be quiet\r\n" * 1000)
    receive(client, 100000)
    client.shutdown(socket.SHUT_WR)
    # More than was under way.
    assert len(receive(client, 40 << 20)) == 40 << 20


@pytest.mark.parametrize("scheme", STREAMS)
def test_chargen_to_a_slow_reader_leaves_out_nothing(serve, scheme):
    daemon = serve("chargen")
    client = daemon.connect("it", scheme, buffer=4096)
    length = 74 * 95 * 5
    text = b""
    while len(text) < length:
        text += client.recv(min(997, length - len(text)))
    assert text == b"".join(chargen_line(number) for number in range(95)) * 5


@pytest.mark.parametrize("scheme", DATAGRAMS)
def test_chargen_sends_one_datagram_for_one(serve, scheme):
    daemon = serve("chargen")
    client = daemon.connect("it", scheme)
    replies = set()
    for number in range(20):
        client.send(b"" if number % 2 else b"go")
        reply = client.recv(70000)
        replies.add(len(reply))
        assert len(reply) <= 512
        for line in reply.split(b"\r\n"):
            assert set(line) <= set(RING) and len(line) <= 72
    daemon.stop()
    client.setblocking(False)
    with pytest.raises((BlockingIOError, ConnectionError)):
        client.recv(10)


# ---- daytime, RFC 867

@pytest.mark.parametrize("scheme", STREAMS + DATAGRAMS)
def test_daytime_is_one_line_of_the_time_now(serve, scheme):
    daemon = serve("daytime")
    before = datetime.datetime.now(datetime.timezone.utc)
    if scheme in DATAGRAMS:
        text = ask(daemon, scheme)
    else:
        client = daemon.connect("it", scheme)
        text = receive_all(client)
        daemon.wait_closed(client, "done")
    line = text.decode("ascii")
    assert line.endswith("\r\n") and line.count("\n") == 1
    said = datetime.datetime.strptime(line.rstrip(), "%a, %d %b %Y %H:%M:%S %z")
    second = datetime.timedelta(seconds=1)
    assert before - second <= said <= datetime.datetime.now(datetime.timezone.utc) + second
    assert said.utcoffset().total_seconds() == 0


def test_daytime_has_a_format_and_a_timezone(serve):
    daemon = serve("daytime", format="%Y <%z>", timezone="Asia/Kolkata")
    year = datetime.datetime.now(datetime.timezone.utc).year
    assert re.fullmatch(r"20\d\d <\+0530>\r\n", receive_all(daemon.connect("it")).decode())
    assert int(ask(daemon, "udp")[:4]) in (year, year + 1)


def test_daytime_does_not_wait_to_be_asked_and_reads_what_it_is_told(serve):
    client = serve("daytime").connect("it")
    client.sendall(b"what is the time?\r\n" * 100)
    assert b":" in receive_all(client)


# ---- time, RFC 868

@pytest.mark.parametrize("scheme", STREAMS + DATAGRAMS)
def test_time_is_four_bytes_of_seconds_since_1900(serve, scheme):
    daemon = serve("time")
    before = int(time.time())
    if scheme in DATAGRAMS:
        text = ask(daemon, scheme)
    else:
        client = daemon.connect("it", scheme)
        text = receive_all(client)
        daemon.wait_closed(client, "done")
    assert len(text) == 4
    said = struct.unpack("!I", text)[0] - (2208988800 - (1 << 32)) % (1 << 32)
    assert before - 1 <= said % (1 << 32) <= time.time() + 1


# ---- qotd, RFC 865

@pytest.mark.parametrize("scheme", STREAMS + DATAGRAMS)
def test_qotd_sends_its_quotation(serve, scheme):
    daemon = serve("qotd", quote="To be, or not to be")
    if scheme in DATAGRAMS:
        text = ask(daemon, scheme)
    else:
        client = daemon.connect("it", scheme)
        text = receive_all(client)
        daemon.wait_closed(client, "done")
    assert text.strip() == b"To be, or not to be" and len(text) <= 512


def test_qotd_picks_from_a_file_at_random(serve, directory):
    quotes = [f"quotation {number}\non two lines" for number in range(8)]
    with open(f"{directory}/quotes", "w", encoding="utf-8") as file:
        file.write("\n%\n".join(quotes) + "\n")
    daemon = serve("qotd", file=f"{directory}/quotes")
    seen = set()
    for _ in range(200):
        seen.add(ask(daemon, "udp").decode().replace("\r\n", "\n").strip())
        if len(seen) == len(quotes):
            break
    assert seen == set(quotes)


def test_a_quotation_over_512_characters_never_leaves(twined, directory):
    with open(f"{directory}/quotes", "w", encoding="utf-8") as file:
        file.write("short\n%\n" + "long " * 200 + "\n%\n")
    daemon = twined(listener("it", "qotd", "udp://127.0.0.1:0", file=f"{directory}/quotes"),
                    ready=False)
    daemon.wait_log("listening|512")
    if daemon.lines("listening"):
        client = daemon.connect("it", "udp")
        for _ in range(30):
            client.send(b"")
            assert len(client.recv(2000)) <= 512
    else:
        daemon.fail()


# ---- all of them

@pytest.mark.parametrize("protocol", ["echo", "discard", "chargen", "daytime", "time", "qotd"])
def test_many_clients_at_a_time_are_served(twined, protocol):
    daemon = twined(listener("it", protocol, **({"quote": "q"} if protocol == "qotd" else {})))
    clients = [daemon.connect("it") for _ in range(100)]
    for client in clients:
        client.sendall(b"a")
    for client in clients:
        if protocol != "discard":
            assert client.recv(1)
    wait_for(lambda: len(daemon.lines(": open")) == 100, "every connection is logged")


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
def test_echo_fed_in_pieces_is_the_same(twined, cut):
    client = twined(listener("it", "echo")).connect("it")
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = bytes(range(256))
    writer = threading.Thread(target=lambda: [client.sendall(data[at:at + cut])
                                              for at in range(0, 256, cut)])
    writer.start()
    assert receive(client, 256) == data
    writer.join()
