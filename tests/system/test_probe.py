"""-p: a row for each address of each listener, and the exit status that goes with them."""

import re
import signal
import socket

import pytest

from support import free_address, listener, receive, run, wait_for

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
    wait_for(lambda: all(state == "T" for state in daemon.thread_states()), "every thread has stopped")
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
