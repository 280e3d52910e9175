"""A proxy of datagrams: each client has a flow of its own, what it sends goes on whole, and so do
answers."""

import contextlib
import os
import random
import re
import socket
import struct
import time

import pytest

from datagram_peers import crowd, echo, silence, summary, upstream	# fixtures are among them
from support import PATIENCE, SLOW, despite_stalls, listener, wait_for

KINDS = ["udp", "udp6", "path", "abstract"]
UDP_LARGEST = {"udp": 65507, "udp6": 65527}


def address(kind, directory, name):
    """An address of a kind, of which there are no two of one name."""
    return {"udp": "udp://127.0.0.1:0", "udp6": "udp://[::1]:0",
            "path": f"unixgram://{directory}/{name}",
            "abstract": f"unixgram://@{os.path.basename(directory)}-{name}"}[kind]


def scheme(kind):
    return "udp" if kind.startswith("udp") else "unixgram"


def ask(client, request=b"?"):
    client.send(request)
    return client.recv(1 << 17)


def quiet(client, seconds=0.1):
    """That nothing comes to a client."""
    client.settimeout(seconds)
    with pytest.raises(TimeoutError):
        client.recv(1 << 17)
    client.settimeout(PATIENCE)


def is_served(client, request=b"?"):
    """
    That a client gets its own request back; used as a mark that all before it has been handled.
    """
    assert ask(client, request) == request


def served_sometime(client, request=b"?"):
    """Asks until there is an answer, which is the first thing that comes: some may get none."""
    client.settimeout(0.1)

    def served():
        client.send(request)
        with contextlib.suppress(TimeoutError):
            return client.recv(1 << 17) == request or pytest.fail("another's answer")
        return False
    wait_for(served, "an answer")
    client.settimeout(PATIENCE)


@pytest.mark.parametrize("far", KINDS)
@pytest.mark.parametrize("near", KINDS)
def test_every_kind_goes_to_every_kind(twined, upstream, directory, near, far):
    server = upstream(address(far, directory, "far"))
    daemon = twined(listener("it", "proxy", address(near, directory, "near"),
                             upstream=server.address))
    client = daemon.connect("it", scheme(near))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    largest = min(UDP_LARGEST.get(near, 65527), UDP_LARGEST.get(far, 65527))
    for size in (1, 0, 512, 1472, 1473, 9000, largest):
        request = random.randbytes(size)
        assert ask(client, request) == request
    assert len({source for _, source in server.received}) == 1


@pytest.mark.parametrize("far", KINDS)
@pytest.mark.parametrize("near", KINDS)
def test_datagrams_of_a_flow_keep_their_order(twined, upstream, directory, near, far):
    server = upstream(address(far, directory, "far"))
    daemon = twined(listener("it", "proxy", address(near, directory, "near"),
                             upstream=server.address))
    client = daemon.connect("it", scheme(near))
    sent = 0
    for _ in range(40):
        # A unix socket holds no more than 10 datagrams (net.unix.max_dgram_qlen).
        requests = [b"%d" % (sent + i) * random.choice((1, 1, 1, 200)) for i in range(8)]
        sent += len(requests)
        for request in requests:
            client.send(request)
        assert [client.recv(4096) for _ in requests] == requests


def test_what_is_larger_than_the_other_side_takes_is_counted_and_nothing_else_is_lost(twined,
                                                                                      upstream):
    server = upstream("udp://127.0.0.1:0")
    daemon = twined(listener("it", "proxy", "udp://[::1]:0", upstream=server.address))
    client = daemon.connect("it", "udp")
    for request in (b"a", b"x" * 65527, b"b", b"y" * 65508, b"c"):
        client.send(request)
    assert [client.recv(1 << 17) for _ in range(3)] == [b"a", b"b", b"c"]
    assert [data for data, _ in server.received] == [b"a", b"b", b"c"]
    assert summary(daemon, "it")["too_large"] == 2


def test_an_answer_larger_than_the_client_takes_is_counted_and_nothing_else_is_lost(twined,
                                                                                    upstream):
    answers = [b"a", b"x" * 65527, b"b"]
    server = upstream("udp://[::1]:0", lambda data, source: answers)
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    client = daemon.connect("it", "udp")
    client.send(b"?")
    assert [client.recv(1 << 17) for _ in range(2)] == [b"a", b"b"]
    assert summary(daemon, "it")["too_large"] == 1


def test_a_unix_datagram_larger_than_any_is_not_cut(twined, upstream, directory):
    server = upstream(f"unixgram://{directory}/far")
    daemon = twined(listener("it", "proxy", f"unixgram://{directory}/near",
                             upstream=server.address))
    client = daemon.connect("it", "unixgram")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    client.send(b"x" * 65537)
    is_served(client)
    assert [data for data, _ in server.received] == [b"?"]
    assert summary(daemon, "it")["too_large"] == 1


def test_each_client_gets_its_own_answers(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    clients = [daemon.connect("it", "udp") for _ in range(200)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(b"%d %d" % (turn, number))
        for number, client in enumerate(clients):
            assert client.recv(100) == b"%d %d" % (turn, number)
    # Each has had one socket all the time, and no two the same.
    sources = {}
    for data, source in server.received:
        sources.setdefault(data.split()[1], set()).add(source)
    assert all(len(one) == 1 for one in sources.values())
    assert len(set().union(*sources.values())) == len(clients)
    counts = summary(daemon, "it")
    assert counts["flows open"] == counts["flows"] == 200
    assert counts["datagrams in"] == counts["datagrams out"] == 600


def test_thousands_of_flows(twined, upstream, crowd):
    count = 5000
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    clients = crowd(daemon.port("it", "udp"))
    for _ in range(2):
        for first in range(0, count, 50):
            for number in range(first, first + 50):
                clients.send(number, b"%d" % number)
            for _ in range(50):
                number, data = clients.receive()
                assert data == b"%d" % number
    assert len({source for _, source in server.received}) == count
    assert summary(daemon, "it")["flows open"] == count


def test_a_flow_ends_when_it_is_silent(twined, upstream):
    server = upstream(answer=silence)
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             session_timeout="300ms"))
    client = daemon.connect("it", "udp")
    started = time.monotonic()
    client.send(b"one")
    peer = re.escape("udp://127.0.0.1:%d" % client.getsockname()[1])
    daemon.wait_log(rf"info: it udp://\S+: {peer}: open$")
    daemon.wait_log(rf"info: it udp://\S+: {peer}: closed: session_timeout, "
                    r"3 bytes in, 0 out, \d+\.\d+ s$")
    assert time.monotonic() - started >= 0.3
    # Nobody answers from an old socket to a new flow.
    server.send(b"late", server.wait(1)[0][1])
    server.answer = echo
    served_sometime(client, b"two")
    # On a slow machine there may have been more.
    assert summary(daemon, "it")["flows"] >= 2
    assert summary(daemon, "it")["session_timeout"] >= 1


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_flow_that_is_used_either_way_goes_on(twined, upstream, who):
    server = upstream(answer=silence)
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             session_timeout="800ms"))

    def use(step):
        client = daemon.connect("it", "udp")
        client.settimeout(2)
        server.received.clear()
        client.send(b"hello")
        flow = server.wait(1)[0][1]
        step()
        ended, count = time.monotonic() + 2, 1
        while time.monotonic() < ended:
            if who == "client":
                client.send(b"again")
                count += 1
                server.wait(count)
            else:
                server.send(b"news", flow)
                assert client.recv(10) == b"news"
            time.sleep(0.05)		# the pace is what is tested
            step()
        server.send(b"end", flow)
        assert client.recv(10) == b"end"
        assert {source for _, source in server.received} == {flow}
    despite_stalls(0.4, use)


def test_an_answer_comes_from_the_address_that_was_asked(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://*:0", upstream=server.address))
    port = daemon.port("it", "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        for target in ("127.0.0.1", "127.0.0.2", "127.9.8.7"):
            for _ in range(2):
                client.sendto(target.encode(), (target, port))
                assert client.recvfrom(100) == (target.encode(), (target, port))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.sendto(b"six", ("::1", port))
        data, source = client.recvfrom(100)
        assert (data, source[:2]) == (b"six", ("::1", port))
    # One client that asks at two addresses has two flows, so that each answer knows its way.
    flows = {data: source for data, source in server.received}
    assert len(set(flows.values())) == 4


def test_a_late_answer_comes_from_the_address_that_was_asked(twined, upstream):
    server = upstream(answer=silence)
    daemon = twined(listener("it", "proxy", "udp://*:0", upstream=server.address))
    port = daemon.port("it", "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        for target in ("127.0.0.2", "127.0.0.3"):
            client.sendto(target.encode(), (target, port))
        for data, source in reversed(server.wait(2)):
            server.send(data, source)
            assert client.recvfrom(100) == (data, (data.decode(), port))


# ---- Upstreams that do not serve


def dead_address():
    """Where nobody is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return "udp://127.0.0.1:%d" % one.getsockname()[1]


@pytest.mark.parametrize("far", ["udp", "path", "abstract"])
def test_what_one_upstream_refuses_another_one_gets(twined, upstream, directory, far):
    dead = dead_address() if far == "udp" else address(far, directory, "nobody")
    server = upstream(address(far, directory, "far"))
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", max_fails="none",
                             upstream=f"{dead}, {server.address}"))
    for number in range(20):
        is_served(daemon.connect("it", "udp"), b"%d" % number)
    daemon.wait_log(rf"it udp://\S+: upstream {re.escape(dead)}: "
                    "(Connection refused|No such file or directory)$")


def test_a_whole_batch_goes_to_the_next_upstream_in_order(twined, upstream):
    server = upstream()
    daemon = twined("[daemon]\nthreads = 1\n"
                    + listener("it", "proxy", "udp://127.0.0.1:0", max_fails="none",
                               upstream=f"{dead_address()}, {server.address} backup"))
    for _ in range(30):
        client = daemon.connect("it", "udp")
        requests = [b"%d" % i for i in range(5)]
        for request in requests:
            client.send(request)
        assert [client.recv(10) for _ in requests] == requests


def test_a_flow_goes_to_another_upstream_when_its_own_has_gone(twined, upstream):
    first, second = upstream(), upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", max_fails=1,
                             upstream=f"{first.address}, {second.address} backup"))
    client = daemon.connect("it", "udp")
    is_served(client, b"one")
    first.close()
    # It is not known any more whether the first has seen what it refuses now.
    client.send(b"two")
    daemon.wait_log(rf"upstream {re.escape(first.address)}: Connection refused$")
    # An answer to "two" may come or not, but nothing else before that to "three".
    client.send(b"three")
    assert client.recv(10) == b"three" or client.recv(10) == b"three"
    assert second.received[-1][0] == b"three"
    daemon.wait_log(rf"warning: it: upstream {re.escape(first.address)}: down")


def test_an_upstream_is_not_up_again_because_nothing_could_be_sent_to_it(twined, upstream):
    server = upstream()
    server.close()
    daemon = twined(listener("it", "proxy", "udp://[::1]:0", upstream=server.address, max_fails=1,
                             fail_timeout="100ms"))
    client = daemon.connect("it", "udp")
    client.send(b"?")
    daemon.wait_log(": down after 1 failure: Connection refused$")
    ended = time.monotonic() + 0.5
    while time.monotonic() < ended:
        # More than IPv4 takes, and each from a client of its own: one is on trial, some come later.
        daemon.connect("it", "udp").send(b"x" * 65527)
        time.sleep(0.01)
    wait_for(lambda: summary(daemon, "it").get("too_large", 0) > 0, "they have been tried")
    client.send(b"!")
    assert summary(daemon, "it")["datagrams in"] > 2
    assert not daemon.lines(": up$")


def test_one_that_never_answers_is_up_again_when_nothing_is_refused(twined, upstream):
    server = upstream(answer=silence)
    where = server.address
    server.close()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=where, max_fails=1,
                             fail_timeout="100ms"))
    daemon.connect("it", "udp").send(b"?")
    daemon.wait_log(": down after 1 failure: Connection refused$")
    upstream(where, silence)
    wait_for(lambda: daemon.connect("it", "udp").send(b"!") and daemon.lines(": up$"), "it is up")


def test_while_no_upstream_serves_datagrams_are_counted_and_then_served(twined, upstream):
    server = upstream()
    where = server.address
    server.close()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=where, max_fails="none"))
    client = daemon.connect("it", "udp")
    for _ in range(3):
        client.send(b"?")
    wait_for(lambda: summary(daemon, "it").get("no_upstream") == 3, "three are counted")
    upstream(where)
    is_served(client)


def test_every_address_of_a_name_is_tried(twined, upstream):
    server = upstream()
    port = server.address.rpartition(":")[2]
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream=f"udp://localhost:{port}"))
    served_sometime(daemon.connect("it", "udp"))		# no datagram waits for the name


def test_a_name_that_is_not_known_drops_datagrams(twined):
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream="udp://nobody.invalid:53"), errors="nobody.invalid")
    client = daemon.connect("it", "udp")
    client.send(b"?")
    wait_for(lambda: summary(daemon, "it").get("no_upstream") == 1, "it is counted")


def test_clients_are_spread_and_stay(twined, upstream):
    servers = [upstream() for _ in range(2)]
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0",
                             upstream=", ".join(f"{server.address} weight={weight}"
                                                for server, weight in zip(servers, (3, 1)))))
    clients = [daemon.connect("it", "udp") for _ in range(40)]
    for turn in range(3):
        for number, client in enumerate(clients):
            is_served(client, b"%d" % number)
    seen = [{data for data, _ in server.received} for server in servers]
    assert not seen[0] & seen[1]
    assert [len(one) for one in seen] == [30, 10]


# ---- Unix sockets that are full


def test_a_unix_client_waits_for_a_unix_upstream_and_loses_nothing(twined, upstream, directory):
    server = upstream(f"unixgram://{directory}/far", silence)
    daemon = twined(listener("it", "proxy", f"unixgram://{directory}/near",
                             upstream=server.address))
    client = daemon.connect("it", "unixgram")
    for number in range(3000):
        client.send(b"%d" % number)
    assert [int(data) for data, _ in server.wait(3000)] == list(range(3000))


def test_a_unix_client_that_reads_late_gets_every_answer(twined, upstream, directory):
    server = upstream("udp://127.0.0.1:0", lambda data, source: [b"%d" % i for i in range(100)])
    daemon = twined(listener("it", "proxy", f"unixgram://{directory}/near",
                             upstream=server.address))
    late, other = (daemon.connect("it", "unixgram") for _ in range(2))
    late.send(b"?")
    other.send(b"?")
    assert [int(other.recv(10)) for _ in range(100)] == list(range(100))
    assert [int(late.recv(10)) for _ in range(100)] == list(range(100))


@pytest.mark.parametrize("near", ["udp", "path"])
def test_a_unix_upstream_that_does_not_read_holds_up_no_client_of_another(twined, upstream,
                                                                          directory, near):
    server = upstream(f"unixgram://{directory}/far")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hung:
        hung.bind(f"{directory}/hung")
        daemon = twined(listener("it", "proxy", address(near, directory, "near"),
                                 upstream=f"unixgram://{directory}/hung, {server.address}"))
        clients = [daemon.connect("it", scheme(near)) for _ in range(2)]
        for number in range(100):
            clients[0].send(b"%d" % number)
            is_served(clients[1], b"%d" % number)
        # What has waited comes when it reads, in order.
        hung.settimeout(PATIENCE)
        assert [int(hung.recv(10)) for _ in range(100)] == list(range(100))


def test_a_unix_upstream_that_goes_leaves_nobody_waiting(twined, upstream, directory):
    where = f"unixgram://{directory}/far"
    hung = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    hung.bind(f"{directory}/far")
    daemon = twined(listener("it", "proxy", f"unixgram://{directory}/near", upstream=where,
                             max_fails="none"))
    client = daemon.connect("it", "unixgram")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            client.send(b"?")
    client.settimeout(PATIENCE)
    hung.close()
    os.unlink(f"{directory}/far")
    upstream(where)
    wait_for(lambda: client.send(b"!") and summary(daemon, "it")["datagrams out"],
             "it is served again")


# ---- Rules


def test_a_source_port_below_1024_is_sent_on_and_not_answered(twined, upstream, root):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as low:
        for port in range(1023, 900, -1):
            with contextlib.suppress(OSError):
                low.bind(("127.0.0.1", port))
                break
        low.connect(("127.0.0.1", daemon.port("it", "udp")))
        low.send(b"one way")
        server.wait(1)
        quiet(low)
    assert server.received[0][0] == b"one way"
    assert summary(daemon, "it")["port"] == 1


def test_a_unix_socket_without_a_name_is_sent_on_and_not_answered(twined, upstream, directory):
    server = upstream()
    daemon = twined(listener("it", "proxy", f"unixgram://{directory}/near",
                             upstream=server.address))
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(b"one way", f"{directory}/near")
    server.wait(2)
    wait_for(lambda: summary(daemon, "it").get("source") == 2, "no answer goes out")
    is_served(daemon.connect("it", "unixgram"))


def test_allow_and_deny(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             deny="127.0.0.2/32"))
    denied = daemon.connect("it", "udp", source="127.0.0.2")
    denied.send(b"?")
    is_served(daemon.connect("it", "udp"), b"!")
    assert [data for data, _ in server.received] == [b"!"]
    counts = summary(daemon, "it")
    assert (counts["denied"], counts["flows"]) == (1, 1)


def test_without_udp_amplify_answers_are_together_no_longer_than_requests(twined, upstream):
    answers = [b"a" * 60, b"b" * 60, b"c" * 40]
    server = upstream(answer=lambda data, source: answers)
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             udp_amplify="no"))
    client = daemon.connect("it", "udp")
    client.send(b"x" * 100)
    # 60 of 100, then only 40 are left.
    assert [client.recv(100) for _ in range(2)] == [answers[0], answers[2]]
    client.send(b"x" * 60)
    assert client.recv(100) == answers[0]
    wait_for(lambda: summary(daemon, "it").get("long") == 3, "the others are counted")
    client.send(b"x" * 160)
    assert [client.recv(100) for _ in range(3)] == answers
    quiet(client)


def test_on_loopback_answers_may_be_longer(twined, upstream):
    server = upstream(answer=lambda data, source: [b"long" * 1000])
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    assert len(ask(daemon.connect("it", "udp"), b"")) == 4000


def test_udp_reply_rate_holds_for_answers(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             udp_reply_rate="5/m"))
    client = daemon.connect("it", "udp")
    for _ in range(20):
        client.send(b"?")
    for _ in range(5):
        assert client.recv(10) == b"?"
    wait_for(lambda: summary(daemon, "it").get("rate") == 15, "the others are counted")
    quiet(client)
    is_served(daemon.connect("it", "udp", source="127.0.0.2"))


def spoof(source, source_port, port, payload):
    """Sends a datagram from an address and port that are another's."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        udp = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                             socket.inet_aton(source), socket.inet_aton("127.0.0.1"))
        raw.sendto(header + udp, ("127.0.0.1", port))


@pytest.mark.parametrize("victim", ["it", "other"])
def test_one_of_our_own_addresses_is_no_client(twined, upstream, root, victim):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address)
                    + listener("other", "echo", "udp://127.0.0.1:0"))
    spoof("127.0.0.1", daemon.port(victim, "udp"), daemon.port("it", "udp"), b"round and round")
    wait_for(lambda: summary(daemon, "it").get("own") == 1, "it is counted")
    is_served(daemon.connect("it", "udp"))
    assert [data for data, _ in server.received] == [b"?"]


def test_bind_and_dscp_hold_for_what_goes_to_upstreams(twined, upstream):
    server = upstream("udp://127.0.0.1:0")
    server.socket.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             bind="127.0.0.9", dscp="ef"))
    is_served(daemon.connect("it", "udp"))
    assert server.received[0][1][0] == "127.0.0.9"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looking:
        # The upstream's own thread does not look at control messages: look at one here.
        looking.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        looking.settimeout(PATIENCE)
        looking.bind(("127.0.0.1", 0))
        other = twined(listener("it", "proxy", "udp://127.0.0.1:0", dscp="ef",
                                upstream="udp://127.0.0.1:%d" % looking.getsockname()[1]))
        other.connect("it", "udp").send(b"?")
        _, control, _, _ = looking.recvmsg(10, 100)
        assert control[0][2][0] == 46 << 2


def test_two_addresses_of_a_listener_share_max_sessions(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0, udp://127.0.0.2:0",
                             upstream=server.address, max_sessions=3))
    clients = [daemon.connect("it", "udp", index) for index in (0, 1, 0, 1)]
    for client in clients:
        is_served(client)
    counts = summary(daemon, "it")
    assert (counts["flows open"], counts["evicted"]) == (3, 1)
    is_served(clients[0])		# with a new flow


@pytest.mark.parametrize("most", [1, 2, 5])
def test_few_sessions_serve_many_clients_that_ask_at_once(twined, upstream, most):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                             max_sessions=most))
    clients = [daemon.connect("it", "udp") for _ in range(20)]
    for client in clients:
        client.send(b"?")
    # All have gone to the upstream, whoever is answered.
    server.wait(20)
    for _ in range(20):
        is_served(daemon.connect("it", "udp"))
    assert summary(daemon, "it")["flows open"] == most


# ---- Reload and stop


def reloaded(daemon, config):
    result = daemon.reload(config)
    assert result.returncode == 0, result.stderr


def test_a_reload_does_not_touch_the_flows_of_an_unchanged_listener(twined, upstream):
    server = upstream()
    one = listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address)
    daemon = twined(one)
    client = daemon.connect("it", "udp")
    is_served(client, b"one")
    reloaded(daemon, one + listener("echo", "echo", "udp://127.0.0.1:0"))
    is_served(client, b"two")
    assert len({source for _, source in server.received}) == 1


def test_after_a_change_what_was_asked_is_answered_and_new_goes_to_the_new_upstream(twined,
                                                                                    upstream):
    old, new = upstream(answer=silence), upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=old.address))
    client = daemon.connect("it", "udp")
    client.send(b"asked before")
    flow = old.wait(1)[0][1]
    reloaded(daemon, listener("it", "proxy", "udp://127.0.0.1:0", upstream=new.address))
    old.send(b"answered after", flow)
    assert client.recv(100) == b"answered after"
    is_served(client, b"new")
    assert [data for data, _ in new.received] == [b"new"]
    assert len(old.received) == 1


def test_a_removed_listener_still_answers_and_lets_go_of_its_address(twined, upstream):
    server = upstream(answer=silence)
    other = listener("other", "echo", "udp://127.0.0.1:0")
    daemon = twined(other + listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                                     session_timeout=f"{int(3 * SLOW)}s"))
    client = daemon.connect("it", "udp")
    port = daemon.port("it", "udp")
    client.send(b"asked before")
    flow = server.wait(1)[0][1]
    reloaded(daemon, other)
    server.send(b"answered after", flow)
    assert client.recv(100) == b"answered after"
    daemon.wait_log(": closed: session_timeout, ")

    def free():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                return True
        return False
    wait_for(free, "the address is free")


@pytest.mark.parametrize("why", ["taken", "another is bad"])
def test_a_reload_that_fails_leaves_a_removed_listener_its_flows(twined, upstream, why):
    server = upstream(answer=silence)
    other = listener("other", "echo", "udp://127.0.0.1:0")
    daemon = twined(other + listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address),
                    errors="reload failed|in use|No such file")
    client = daemon.connect("it", "udp")
    port = daemon.port("it", "udp")
    client.send(b"asked before")
    flow = server.wait(1)[0][1]
    reloaded(daemon, other)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        host = "*"
        if why == "taken":
            host = "127.0.0.2"
            taken.bind((host, port))
        config = other + listener("new", "proxy", f"udp://{host}:{port}", upstream=server.address)
        if why != "taken":
            config += listener("worse", "echo", "unix:///none/s")
        result = daemon.reload(config)
    assert result.returncode == 1
    server.send(b"answered after", flow)
    assert client.recv(100) == b"answered after"


def bound_at(daemon, port):
    """How many UDP sockets it has at a port."""
    names = {name for name in daemon.descriptors() if name.startswith("socket:")}
    rows = []
    for table in ("udp", "udp6"):
        with open(f"/proc/{daemon.pid}/net/{table}", encoding="ascii") as file:
            rows += [line.split() for line in file.readlines()[1:]]
    return len([row for row in rows
                if row[1].endswith(":%04X" % port) and f"socket:[{row[9]}]" in names])


@pytest.mark.parametrize("first, second", [("127.0.0.1", "*"), ("*", "127.0.0.1"), ("0.0.0.0", "*"),
                                           ("*", "0.0.0.0"), ("[::]", "[::1]")])
@pytest.mark.parametrize("protocol", ["proxy", "echo"])
def test_a_reload_may_widen_and_narrow_an_address(twined, upstream, protocol, first, second):
    server = upstream()
    keys = {"upstream": server.address} if protocol == "proxy" else {}
    daemon = twined(listener("it", protocol, f"udp://{first}:0", **keys))
    port = daemon.port("it", "udp")
    where = f"udp://{'[::1]' if '[' in first else '127.0.0.1'}:{port}"
    old = daemon.connect_to(where)
    is_served(old, b"one")
    for host in (second, first, second):
        reloaded(daemon, listener("it", protocol, f"udp://{host}:{port}", **keys))
        is_served(old, b"two")
        is_served(daemon.connect_to(where), b"three")
        assert bound_at(daemon, port) == 1		# nothing of the other one is left


@pytest.mark.parametrize("listen",
                         ["udp://127.0.0.1:{port}", "udp://*:{port}", "udp://0.0.0.0:{port}"])
def test_a_removed_listener_can_come_back_at_once(twined, upstream, listen):
    server = upstream()
    other = listener("other", "echo", "udp://127.0.0.1:0")
    daemon = twined(other + listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    client = daemon.connect("it", "udp")
    port = daemon.port("it", "udp")
    is_served(client, b"one")
    reloaded(daemon, other)
    reloaded(daemon,
             other + listener("back", "proxy", listen.format(port=port), upstream=server.address))
    is_served(client, b"two")
    is_served(daemon.connect("back", "udp"), b"three")


def test_a_unix_socket_of_a_removed_listener_can_come_back_at_once(twined, upstream, directory):
    server = upstream()
    other = listener("other", "echo", "udp://127.0.0.1:0")
    one = listener("it", "proxy", f"unixgram://{directory}/near", upstream=server.address)
    daemon = twined(other + one)
    client = daemon.connect("it", "unixgram")
    is_served(client, b"one")
    reloaded(daemon, other)
    reloaded(daemon, other + one)
    is_served(client, b"two")
    daemon.close_clients()
    daemon.stop()
    assert not os.path.exists(f"{directory}/near")


def test_reloads_in_the_midst_of_traffic_lose_nothing(twined, upstream):
    server = upstream()
    config = [listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address,
                       max_sessions=most)
              for most in (100, 200)]
    daemon = twined(config[0])
    clients = [daemon.connect("it", "udp") for _ in range(10)]
    for turn in range(10):
        for client in clients:
            client.send(b"%d" % turn)
        reloaded(daemon, config[turn % 2])
        for client in clients:
            assert client.recv(10) == b"%d" % turn


def test_a_stop_does_not_wait_for_flows(twined, upstream):
    server = upstream(answer=silence)
    daemon = twined("[daemon]\nshutdown_timeout = 1h\n"
                    + listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    client = daemon.connect("it", "udp")
    client.send(b"?")
    flow = server.wait(1)[0][1]
    server.send(b"on its way", flow)
    daemon.stop()
    assert client.recv(100) == b"on its way"
    assert daemon.lines(": closed: shutdown, 1 bytes in, 10 out, ")


def test_the_status_counts_flows(twined, upstream):
    server = upstream()
    daemon = twined(listener("it", "proxy", "udp://127.0.0.1:0", upstream=server.address))
    is_served(daemon.connect("it", "udp"))
    daemon.reload()
    daemon.wait_log("reloaded: 1 listener, 0 connections, 1 flow$")
