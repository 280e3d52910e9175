"""-p: a row for each address of each listener, and the exit status that goes with them."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import support
from datagram_peers import upstream		# a fixture
from support import PATIENCE, free_address, listener, receive, run, wait_for

OK = r"^{name}\s+\S*{scheme}://\S+\s+{protocol}\s+OK\b.*\d"


def rows(result):
    return result.stdout.splitlines()


def streams_and_datagrams(directory, name):
    tcp = free_address()
    return (f"{tcp}, {tcp.replace('tcp', 'udp')}, unix://{directory}/{name}.s, "
            f"unixgram://{directory}/{name}.d")


PROTOCOLS = ["echo", "discard", "chargen", "daytime", "time", "qotd", "relay"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_ok_on_every_kind_of_socket(twined, directory, protocol):
    daemon = twined(listener(protocol, protocol, streams_and_datagrams(directory, "it"),
                             **({"quote": "q"} if protocol == "qotd" else {})))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(rows(result)) == 4
    for row, scheme in zip(rows(result), ("tcp", "udp", "unix", "unixgram")):
        assert re.search(OK.format(name=protocol, scheme=scheme, protocol=protocol), row), row


def test_a_proxy_is_ok_when_its_upstream_is_there(twined, server):
    daemon = twined(listener("web", "proxy", free_address(),
                             upstream=server(lambda peer: receive(peer, 1))))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 0 and re.search(r"web .* OK", result.stdout), result.stdout


def test_a_proxy_without_its_upstream_is_not_ok(twined):
    daemon = twined(listener("web", "proxy", free_address(), upstream=free_address()))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 1 and re.search(r"web .* FAILED", result.stdout), result.stdout


def test_a_listener_that_is_down_fails_and_the_others_are_ok(twined, directory):
    up = listener("up", "echo", free_address())
    daemon = twined(up)
    daemon.write(up + listener("down", "echo", f"{free_address()}, unix://{directory}/none, "
                                               f"unixgram://{directory}/no"))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 1
    assert len(rows(result)) == 4
    assert sum(" OK " in row for row in rows(result)) == 1
    failed = [row for row in rows(result) if row.startswith("down")]
    assert len(failed) == 3 and all("FAILED" in row for row in failed)
    assert "refused" in failed[0].lower() and "No such file" in failed[1]


def test_a_datagram_listener_that_is_down_fails(twined):
    result = run("-p", "-L", f"echo {free_address().replace('tcp', 'udp')}")
    assert result.returncode == 1 and "FAILED" in result.stdout


def test_names_choose_listeners(twined):
    daemon = twined(listener("a", "echo", free_address()) + listener("b", "time", free_address())
                    + listener("c", "discard", free_address()))
    result = run("-c", daemon.path, "--probe", "a", "c")
    assert result.returncode == 0
    assert [row.split()[0] for row in rows(result)] == ["a", "c"]


def test_an_unknown_name_is_an_error(twined):
    daemon = twined(listener("a", "echo", free_address()))
    result = run("-c", daemon.path, "-p", "nobody")
    assert result.returncode != 0 and "nobody" in result.stderr


def test_the_wrong_server_behind_an_address_is_found_out(twined, server):
    def liar(connection):
        connection.recv(100)
        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    address = server(liar)
    for protocol in ("echo", "time", "daytime", "chargen"):
        result = run("-p", "-L", f"{protocol} {address}")
        assert result.returncode == 1, (protocol, result.stdout)


def test_a_server_that_says_nothing_is_found_out(server):
    result = run("-p", "-L", f"echo {server(lambda peer: receive(peer, 10000))}")
    assert result.returncode == 1 and "FAILED" in result.stdout


def test_it_says_the_round_trip(twined):
    daemon = twined(listener("a", "echo", free_address()))
    match = re.search(r"OK\D*([0-9.]+)\s*ms", run("-p", "-c", daemon.path).stdout)
    assert match and 0 < float(match[1]) < 3000


def test_every_address_of_both_families_is_reached(twined):
    port = free_address().rsplit(":", 1)[1]
    daemon = twined(listener("any", "echo", f"tcp://*:{port}, udp://*:{port}"))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 0, result.stdout


def test_a_disabled_listener_is_not_tried(twined):
    daemon = twined(listener("a", "echo", free_address())
                    + listener("off", "echo", free_address(), enabled="no"))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 0 and not re.search(r"^off\b", result.stdout, re.M)


def test_a_stopped_service_is_found_out(twined):
    daemon = twined(listener("a", "echo", free_address()))
    daemon.signal(signal.SIGSTOP)
    wait_for(lambda: all(state == "T" for state in daemon.thread_states()),
             "every thread has stopped")
    try:
        result = run("-p", "-c", daemon.path)
    finally:
        daemon.signal(signal.SIGCONT)
    assert result.returncode == 1 and "FAILED" in result.stdout


def test_it_leaves_nothing_behind_in_the_service(twined, directory):
    daemon = twined("".join(
        listener(protocol, protocol, f"unix://{directory}/{protocol}",
                 **({"quote": "q"} if protocol == "qotd" else {})) for protocol in PROTOCOLS))
    before = len(daemon.descriptors())
    assert run("-p", "-c", daemon.path).returncode == 0
    wait_for(lambda: len(daemon.descriptors()) <= before, "its connections are closed")


def test_it_does_not_take_the_address_of_a_service_that_is_down():
    address = free_address()
    run("-p", "-L", f"echo {address}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(address.rsplit(":", 1)[1])))


# ---- Through a proxy


def told(daemon, *names):
    """
    The result of -p, once the daemon has told in time what it asks: a slow one is taken as it
    is.
    """
    for _ in range(20):
        result = run("-p", "-c", daemon.path, *names)
        if not re.search(r" OK [0-9.]+ ms( not tried)?$", result.stdout, re.M):
            break
    return result


def probe(daemon, *names):
    """The exit status of -p, and its one row."""
    result = told(daemon, *names)
    row, = rows(result)
    return result.returncode, row


def udp_server():
    """A socket that takes datagrams, and its address."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    bound.settimeout(PATIENCE)
    return bound, "udp://127.0.0.1:%d" % bound.getsockname()[1]


def silent(peer):
    assert peer.recv(100) == b""


def test_it_says_which_upstream_answered(twined, server):
    servers = [server(silent), server(silent)]
    daemon = twined(listener("web", "proxy", free_address(), upstream=", ".join(servers)))
    found = set()
    for _ in range(4):
        status, row = probe(daemon)
        assert status == 0
        found.add(re.search(r" OK [0-9.]+ ms via (\S+)$", row)[1])
    assert found == set(servers)


def test_it_says_where_the_name_of_the_upstream_led(twined, server):
    address = server(silent)
    name = address.replace("127.0.0.1", "localhost")
    daemon = twined(listener("web", "proxy", free_address(), upstream=name))
    assert probe(daemon)[1].endswith(f" ms via {name} ({address})")


@pytest.mark.parametrize("threads", [1, 3])
def test_it_says_so_over_unix_sockets_too(twined, directory, server, threads):
    address = server(silent, f"{directory}/server")
    daemon = twined(f"[daemon]\nthreads = {threads}\n"
                    + listener("a", "proxy", f"unix://{directory}/a, unix://{directory}/b",
                               upstream=address))
    result = told(daemon)
    assert result.returncode == 0
    assert [row.endswith(f" ms via {address}") for row in rows(result)] == [True, True]


def test_it_says_why_no_upstream_answers(twined, directory):
    refused = free_address()
    daemon = twined(listener("web", "proxy", free_address(),
                             upstream=f"{refused} weight=2, unix://{directory}/none backup"))
    status, row = probe(daemon)
    assert status == 1
    assert row.endswith(f" FAILED: reset by the listener; {refused}: Connection refused; "
                        f"unix://{directory}/none: No such file or directory")


def test_an_upstream_that_answers_the_probe_alone_is_told_apart(twined, server):
    """As when the daemon may not connect there, or has found it down by a check."""
    address = server(lambda peer: receive(peer, 10000))
    daemon = twined(listener("web", "proxy", free_address(), upstream=address, deny="127.0.0.1"))
    status, row = probe(daemon)
    assert status == 1 and row.endswith(f"; {address}: answers")


def test_a_client_that_is_held_is_not_served(twined):
    refused = free_address()
    daemon = twined(listener("web", "proxy", free_address(), upstream=refused,
                             wait_for_upstream="1m"))
    status, row = probe(daemon)
    assert status == 1
    assert row.endswith(" FAILED: no upstream has answered within 3 s; "
                        f"{refused}: Connection refused")


def test_an_upstream_that_speaks_first_and_ends_is_fine(twined, server):
    daemon = twined(listener("web", "proxy", free_address(),
                             upstream=server(lambda peer: peer.sendall(b"Mon, 23 Nov\r\n"))))
    assert probe(daemon)[0] == 0


def test_the_exchange_of_check_is_tried_through_the_proxy(twined, server):
    heard = []

    def ping(peer):
        heard.append(receive(peer, 6))
        peer.sendall(b"+PONG\r\n")
    address = server(ping)
    config = {"upstream": address, "check_interval": "1d"}
    daemon = twined(listener("web", "proxy", free_address(), check='"PING\\r\\n" "+PONG"',
                             **config))
    status, row = probe(daemon)
    assert status == 0 and row.endswith(f" ms via {address}")
    assert set(heard) == {b"PING\r\n"}
    # As the probe reads the file: the running one need not have that check.
    daemon.write(open(daemon.path, encoding="utf-8").read().replace("+PONG", "-PONG"))
    status, row = probe(daemon)
    assert status == 1
    assert row.endswith(f" FAILED: not the answer that check expects; via {address}")


def test_a_banner_is_waited_for(twined, server):
    daemon = twined(listener("web", "proxy", free_address(),
                             upstream=server(lambda peer: receive(peer, 9)),
                             check='"" "SSH-"', check_interval="1d", max_fails="none"))
    status, row = probe(daemon)
    assert status == 1 and " FAILED: no answer within 3 s; via tcp://" in row


def test_who_must_send_a_proxy_header_is_probed_with_one(twined, server):
    daemon = twined(listener("web", "proxy", free_address(), upstream=server(silent),
                             accept_proxy="127.0.0.0/8")
                    + listener("e", "echo", free_address(), accept_proxy="127.0.0.1"))
    assert run("-p", "-c", daemon.path).returncode == 0
    daemon = twined(listener("e", "echo", free_address(), accept_proxy="10.0.0.0/8"))
    status, row = probe(daemon)
    assert status == 1
    assert row.endswith("; accept_proxy does not have the address that we come from")


def test_another_server_in_the_place_of_the_proxy_is_taken_as_it_is(server):
    result = run("-p", "-L", f"proxy {server(silent)} upstream=tcp://127.0.0.1:1")
    assert result.returncode == 0 and re.search(r" OK [0-9.]+ ms$", result.stdout.strip())


def test_a_twined_that_hangs_holds_up_nothing(twined, server):
    daemon = twined(listener("web", "proxy", free_address(), upstream=server(silent)))
    hanging = twined(listener("web", "proxy", free_address(), upstream=server(silent)))
    hanging.signal(signal.SIGSTOP)
    wait_for(lambda: all(state == "T" for state in hanging.thread_states()),
             "every thread has stopped")
    try:
        status, row = probe(daemon)
    finally:
        hanging.signal(signal.SIGCONT)
    assert status == 0 and " via tcp://" in row


def test_another_user_is_not_told(twined, server, directory, root):
    address = free_address()
    twined(listener("web", "proxy", address, upstream=server(silent)))
    os.chmod(directory, 0o755)
    binary = shutil.copy(support.TWINED, f"{directory}/twined")
    os.chmod(binary, 0o755)
    result = subprocess.run([binary, "-p", "-L", f"proxy {address} upstream=tcp://127.0.0.1:1"],
                            user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True,
                            text=True, timeout=PATIENCE, check=False)
    assert result.returncode == 0 and re.search(r" OK [0-9.]+ ms$", result.stdout.strip()), result


# ---- Through a proxy of datagrams


def test_no_datagram_is_sent_where_nobody_says_what(twined, directory):
    bound, upstream = udp_server()
    with bound:
        udp = free_address().replace("tcp", "udp")
        daemon = twined(listener("dns", "proxy", f"{udp}, unixgram://{directory}/dns",
                                 upstream=upstream))
        result = told(daemon)
        assert result.returncode == 0
        for row in rows(result):
            assert row.endswith(f" ms not tried: {upstream} up")
        assert len(rows(result)) == 2
        # The next one is ours: there was none before.
        daemon.connect("dns", "udp").send(b"ours")
        assert bound.recv(100) == b"ours"


def test_datagrams_without_an_upstream_that_is_up_fail(twined):
    upstream = free_address().replace("tcp", "udp")
    daemon = twined(listener("dns", "proxy", free_address().replace("tcp", "udp"),
                             upstream=upstream,
                             max_fails=1))
    daemon.connect("dns", "udp").send(b"x")
    daemon.wait_log(": down after 1 failure: Connection refused")
    status, row = probe(daemon)
    assert status == 1 and row.endswith(f" FAILED: no upstream is up; {upstream} down")


def test_the_exchange_of_check_is_tried_with_a_datagram(twined, upstream):
    server = upstream(answer=lambda data, source: [b"pong"])
    daemon = twined(listener("dns", "proxy", free_address().replace("tcp", "udp"),
                             upstream=server.address, check='"ping" "po"', check_interval="1d",
                             max_fails="none"))
    server.wait(1, "check of the daemon's own")
    status, row = probe(daemon)
    assert status == 0 and re.search(rf" OK [0-9.]+ ms {server.address} up$", row), row
    # The daemon's own, and that of the probe, from another address.
    assert {data for data, _ in server.received} == {b"ping"}
    assert len({source for _, source in server.received}) >= 2


def test_an_address_that_nobody_is_bound_to_fails(directory):
    udp = free_address().replace("tcp", "udp")
    result = run("-p", "-L", f"proxy {udp},unixgram://{directory}/none upstream=udp://127.0.0.1:1")
    assert result.returncode == 1
    assert rows(result)[0].endswith(" FAILED: nobody is bound to it")
    assert rows(result)[1].endswith(" FAILED: send: No such file or directory")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::1]", "*"])
def test_an_address_that_somebody_else_is_bound_to_is_all_that_can_be_seen(host):
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind(({"[::1]": "::1", "*": "0.0.0.0"}.get(host, host), 0))
        address = f"udp://{host}:{bound.getsockname()[1]}"
        result = run("-p", "-L", f"proxy {address} upstream=udp://127.0.0.1:1")
    assert result.returncode == 0 and result.stdout.strip().endswith(" ms not tried"), result.stdout


def test_a_bound_address_is_seen_while_other_sockets_come_and_go():
    over = threading.Event()

    def come_and_go():
        kept = []
        while not over.is_set():
            for _ in range(200):
                kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                kept[-1].bind(("127.0.0.1", 0))
            for one in kept[::2]:
                one.close()
            kept = kept[1::2]
        for one in kept:
            one.close()
    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        for _ in range(50):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
                bound.bind(("0.0.0.0", 0))
                address = f"udp://*:{bound.getsockname()[1]}"
                result = run("-p", "-L", f"proxy {address} upstream=udp://127.0.0.1:1")
            assert result.returncode == 0, result.stdout
    finally:
        over.set()
        others.join()


def test_a_hub_whose_members_send_much_is_ok(server):
    members = []

    def hub(member):
        members.append(member)
        line = b""
        while not line.endswith(b"\n"):
            line += member.recv(1)
        for other in members:
            other.sendall(b"before\n" * 5000 + line + b"behind\n" * 5000)

    def until_the_probe_goes(member):
        with contextlib.suppress(ConnectionError):
            hub(member)

    result = run("-p", "-L", f"relay {server(until_the_probe_goes)}")
    assert result.returncode == 0 and " OK " in result.stdout, result.stdout


ONE = {"max_connections": ("", "max_connections = 1"),
       "max_connections_per_ip": ("", "max_connections_per_ip = 1"),
       "daemon": ("[daemon]\nmax_connections = 1\n", "max_connections = 1 of [daemon]")}


@pytest.mark.parametrize("key", ONE)
def test_a_hub_that_takes_one_connection_cannot_be_probed(twined, key):
    before, said = ONE[key]
    keys = {key: "1"} if key != "daemon" else {}
    daemon = twined(before + listener("hub", "relay", free_address(), **keys))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 1
    assert rows(result)[0].endswith(f"FAILED: {said}: the probe of a hub needs two connections")
    down = run("-p", "-L", f"relay {free_address()} max_connections=1")
    assert "Connection refused" in down.stdout, down.stdout + down.stderr


def test_a_hub_that_takes_one_connection_is_ok_where_nothing_is_sent(twined):
    daemon = twined(listener("hub", "relay", free_address(), role="in", max_connections="1"))
    result = run("-p", "-c", daemon.path)
    assert result.returncode == 0, result.stdout
