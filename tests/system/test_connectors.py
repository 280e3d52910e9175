"""connector: a relay that dials, and dials again."""

import os
import re
import select
import signal
import socket
import threading
import time

import pytest

from support import (PATIENCE, despite_stalls, free_address, listener, receive, receive_all, run,
                     wait_for)

FAST = {"reconnect_min": "20ms", "reconnect_max": "200ms"}


def connector(name, connect, protocol="relay", **keys):
    """A section of a configuration."""
    keys = {"connect": connect, "protocol": protocol, **FAST, **keys}
    return f"[connector:{name}]\n" + "".join(f"{key} = {keys[key]}\n" for key in keys) + "\n"


def hub(name="hub", **keys):
    return listener(name, "relay", **keys)


def join(daemon, name="hub"):
    before = len(daemon.lines(": open"))
    member = daemon.connect(name)
    wait_for(lambda: len(daemon.lines(": open")) > before, "the member has joined")
    return member


def read_line(member):
    line = b""
    while not line.endswith(b"\n"):
        byte = member.recv(1)
        assert byte, f"ended after {line!r}"
        line += byte
    return line


class Remote:
    """A server that keeps whoever connects."""

    def __init__(self, address=None):
        self.address = address or free_address()
        self.accepted = []
        host, port = self.address[len("tcp://"):].split(":")
        self.listening = socket.create_server((host, int(port)), backlog=128)
        self.listening.settimeout(PATIENCE)

    def accept(self):
        connection, _ = self.listening.accept()
        connection.settimeout(PATIENCE)
        self.accepted.append(connection)
        return connection

    def close(self):
        for one in (self.listening, *self.accepted):
            one.close()


@pytest.fixture
def remote():
    remotes = []

    def start(address=None):
        remotes.append(Remote(address))
        return remotes[-1]
    yield start
    for one in remotes:
        one.close()


def test_lines_go_both_ways_and_not_back(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub"))
    peer = far.accept()
    daemon.wait_log(rf"notice: up {far.address}: connected$")
    member = join(daemon)
    peer.sendall(b"from there\n")
    assert read_line(member) == b"from there\n"
    member.sendall(b"from here\n")
    assert read_line(peer) == b"from here\n"
    peer.sendall(b"once\n")
    assert read_line(member) == b"once\n"
    peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        peer.recv(1)


def test_a_connector_of_its_own_name_is_on_the_hub_of_that_name(twined, remote):
    far = remote()
    daemon = twined(hub("chat") + connector("chat", far.address))
    peer, member = far.accept(), join(daemon, "chat")
    peer.sendall(b"hello\n")
    assert read_line(member) == b"hello\n"


@pytest.mark.parametrize("role", ["in", "out"])
def test_the_role_says_which_way_lines_go(twined, remote, role):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub", role=role))
    peer, member = far.accept(), join(daemon)
    peer.sendall(b"from there\n")
    member.sendall(b"from here\n")
    reader = member if role == "in" else peer
    assert read_line(reader) == (b"from there\n" if role == "in" else b"from here\n")
    other = peer if role == "in" else member
    other.settimeout(0.2)
    with pytest.raises(TimeoutError):
        other.recv(1)


def test_the_preamble_comes_first_whole_and_on_each_connection(twined, remote):
    far = remote()
    daemon = twined(hub(history=10)
                    + connector("up", far.address, hub="hub", greeting="welcome", history="10",
                                preamble='"USER \\"me\\"\\r\\n\\x3b\\0"'))
    expected = b'USER "me"\r\n;\0welcome\n'
    with far.accept() as peer:
        assert receive(peer, len(expected)) == expected
        member = join(daemon)
        member.sendall(b"line\n")
        assert read_line(peer) == b"line\n"
    with far.accept() as peer:
        assert receive(peer, len(expected) + 5) == expected + b"line\n"


def test_a_server_that_comes_late_is_found(twined, remote):
    address = free_address()
    daemon = twined(hub() + connector("up", address, hub="hub"))
    daemon.wait_log(rf"warning: up {address}: Connection refused; again in \d")
    daemon.wait_log(rf"info: up {address}: Connection refused; again in \d")
    remote(address).accept()
    daemon.wait_log(rf"notice: up {address}: connected$")
    assert len(daemon.lines("warning: up ")) == 1


def test_pauses_grow_from_the_shortest_to_the_longest(twined):
    address = free_address()
    daemon = twined(connector("up", address, reconnect_min="100ms", reconnect_max="400ms"))
    wait_for(lambda: len(daemon.lines("again in")) >= 6, "six attempts")
    pauses = [float(re.search(r"again in ([\d.]+) s", line)[1]) for line in daemon.lines("again in")]
    assert 0.1 <= pauses[0] <= 0.2 and 0.2 <= pauses[1] <= 0.3
    assert all(0.3 <= pause <= 0.4 for pause in pauses[3:])


def test_pauses_are_kept(twined):
    address = free_address()
    began = time.monotonic()
    daemon = twined(connector("up", address, reconnect_min="300ms", reconnect_max="300ms"))
    wait_for(lambda: len(daemon.lines("again in")) >= 4, "four attempts")
    assert time.monotonic() - began >= 0.9


def test_a_server_that_ends_the_stream_is_dialled_again(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub"))
    with far.accept() as peer:
        member = join(daemon)
        peer.sendall(b"unterminated")
        peer.shutdown(socket.SHUT_WR)
        assert read_line(member) == b"unterminated\n"
        assert peer.recv(1) == b""
    daemon.wait_log(rf"warning: up {far.address}: lost: peer_closed, after [\d.]+ s; again in")
    peer = far.accept()
    peer.sendall(b"back\n")
    assert read_line(member) == b"back\n"


def test_what_is_owed_at_the_end_of_stream_is_delivered(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub"))
    with far.accept() as peer:
        member = join(daemon)
        lines = b"".join(b"line %06d\n" % n for n in range(40000))
        writer = threading.Thread(target=member.sendall, args=(lines,))
        writer.start()
        assert peer.recv(1) == b"l"
        # Enough is on its way that it cannot all be in the kernel.
        peer.shutdown(socket.SHUT_WR)
        rest = b"l"
        while part := peer.recv(1 << 20):
            rest += part
        writer.join()
        assert lines.startswith(rest) and rest.endswith(b"\n")


def test_a_reset_is_a_loss(twined, remote):
    far = remote()
    daemon = twined(connector("up", far.address))
    peer = far.accept()
    daemon.wait_log(": connected")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    daemon.wait_log(rf"warning: up {far.address}: lost: peer_reset, after")
    far.accept()


def test_the_next_address_is_tried_at_once_and_all_are_in_turn(twined, remote):
    absent, far = free_address(), remote()
    daemon = twined(connector("up", f"{absent}, {far.address}", reconnect_min="1h", reconnect_max="1h"))
    far.accept()
    daemon.wait_log(rf"warning: up {absent}: Connection refused; next {far.address}$")
    daemon.wait_log(rf"notice: up {far.address}: connected$")


def test_an_address_that_ends_each_connection_is_passed_over(twined, remote):
    one, two = remote(), remote()
    daemon = twined(connector("up", f"{one.address}, {two.address}", reconnect_min="1h",
                              reconnect_max="1h"))
    one.accept().close()
    two.accept()
    daemon.wait_log(rf"warning: up {one.address}: lost: peer_closed, .*; next {two.address}$")


def test_a_name_that_does_not_resolve_is_tried_again(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", f"tcp://no-such-name.invalid:1, {far.address}", hub="hub"))
    far.accept()
    daemon.wait_log(r"warning: up tcp://no-such-name\.invalid:1: .+; next ")


def test_silence_leads_to_the_next_address(twined, remote):
    one, two = remote(), remote()
    daemon = twined(connector("up", f"{one.address}, {two.address}", silence_timeout="300ms"))
    first = one.accept()
    first.sendall(b"bytes, but no line")
    two.accept()
    daemon.wait_log(rf"warning: up {one.address}: lost: silence_timeout, .*; next {two.address}$")
    while first.recv(100):
        pass				# it is ended


def test_lines_at_a_pace_are_no_silence(twined, remote):
    far = remote()
    daemon = twined(connector("up", far.address, silence_timeout="400ms"))

    def talk(step):
        peer = far.accept()
        while select.select([peer], [], [], 0)[0]:
            peer = far.accept()		# one of those that have ended during a stall
        step()
        started = time.monotonic()
        while time.monotonic() - started < 1:
            peer.sendall(b"alive\n")
            time.sleep(0.02)		# the pace is what is tested
            step()
        assert not select.select([peer], [], [], 0)[0]		# it has not been ended
    despite_stalls(0.2, talk)
    assert daemon.lines(": connected")


def test_a_unix_socket_is_dialled(twined, directory):
    path = os.path.join(directory, "far")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(PATIENCE)
        daemon = twined(hub() + connector("up", f"unix://{path}", hub="hub"))
        peer, _ = listening.accept()
        with peer:
            member = join(daemon)
            peer.sendall(b"hello\n")
            assert read_line(member) == b"hello\n"


def test_bind_is_where_it_dials_from(twined, remote):
    far = remote()
    twined(connector("up", far.address, bind="127.0.0.5"))
    assert far.accept().getpeername()[0] == "127.0.0.5"


def test_an_interface_that_is_not_there_is_a_failure(twined, remote):
    far = remote()
    daemon = twined(connector("up", far.address, bind_device="no-such-one"))
    daemon.wait_log(rf"warning: up {far.address}: No such device; again in")


def test_connect_timeout_ends_an_attempt(twined, silent):
    daemon = twined(connector("up", silent, connect_timeout="200ms"))
    daemon.wait_log(r"warning: up \S+: Connection timed out; again in")


def test_two_connectors_and_no_listener_are_a_bridge(twined, remote):
    one, two = remote(), remote()
    daemon = twined(connector("a", one.address, hub="x") + connector("b", two.address, hub="x"))
    first, second = one.accept(), two.accept()
    wait_for(lambda: len(daemon.lines(": connected")) == 2, "both are connected")
    first.sendall(b"over\n")
    assert read_line(second) == b"over\n"


def test_the_command_line_counts_them(directory):
    path = os.path.join(directory, "t.ini")
    with open(path, "w", encoding="utf-8") as file:
        file.write(hub() + connector("a", "tcp://127.0.0.1:1") + connector("b", "tcp://127.0.0.1:2")
                   + connector("c", "tcp://127.0.0.1:3", enabled="no"))
    result = run("-t", "-c", path)
    assert (result.returncode, result.stdout) == (0, f"{path}: OK: 1 listeners, 2 connectors\n")


def test_one_that_is_not_enabled_dials_nothing(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, enabled="no"))
    far.listening.settimeout(0.3)
    with pytest.raises(TimeoutError):
        far.accept()
    assert not daemon.lines("up tcp")


def test_the_status_and_the_summary_have_them(twined, remote):
    far, absent = remote(), free_address()
    daemon = twined(hub() + connector("up", far.address, hub="hub")
                    + connector("down", absent, reconnect_min="1h", reconnect_max="1h"))
    peer = far.accept()
    daemon.wait_log(": connected")
    daemon.wait_log("down .*again in")
    member = join(daemon)
    peer.sendall(b"1234\n")
    assert read_line(member) == b"1234\n"
    daemon.wait_state("STATUS=1 listener, 2 connectors, 1 connection")
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log(rf"notice: up: connected to {far.address} for [\d.]+ s, 1 connection so far, "
                    r"5 bytes in, 0 out$")
    daemon.wait_log(rf"notice: down: not connected, {absent} in \d+\.\d s, 0 connections so far")
    daemon.wait_log(r"notice: hub: hub hub: 2 members")


def test_a_stop_delivers_what_is_owed(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub"))
    peer, member, reader = far.accept(), join(daemon), join(daemon)
    lines = b"".join(b"line %06d\n" % n for n in range(20000))
    writer = threading.Thread(target=member.sendall, args=(lines,))
    writer.start()
    assert receive(reader, len(lines)) == lines	# all of it has been published
    writer.join()
    daemon.signal(signal.SIGTERM)
    assert receive_all(peer) == lines
    peer.close()
    daemon.stop()


@pytest.mark.parametrize("state", ["waiting", "dialling", "connected", "looking up"])
def test_a_stop_ends_one_in_every_state(twined, remote, silent, state):
    far = remote()
    address = {"waiting": free_address, "dialling": lambda: silent, "connected": lambda: far.address,
               "looking up": lambda: "tcp://no-such-name.invalid:1"}[state]()
    daemon = twined(connector("up", address, reconnect_min="1h", reconnect_max="1h"))
    if state == "waiting":
        daemon.wait_log("again in")
    if state == "connected":
        with far.accept() as peer:
            daemon.wait_log(": connected")
            daemon.signal(signal.SIGTERM)
            assert peer.recv(1) == b""
    daemon.stop()


def test_many_reconnects_leave_nothing_behind(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub", reconnect_min="1ms",
                                      reconnect_max="2ms"))
    far.accept().close()
    far.accept().close()
    wait_for(lambda: len(daemon.lines("lost:")) >= 2, "two losses")
    before = len(daemon.descriptors())
    for _ in range(200):
        with far.accept() as peer:
            peer.sendall(b"line\n")
    assert len(daemon.descriptors()) <= before + 2
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log(r"hub hub: [01] members?,")


def test_members_reach_each_other_over_two_daemons_in_one_order(twined):
    far = twined(hub())
    near = twined(hub() + connector("up", far.address("hub"), hub="hub"))
    near.wait_log("up .*: connected")
    readers = [join(near), join(far)]
    writers = [join(near), join(far)]
    count = 2000

    def write(member, word):
        for n in range(count):
            member.sendall(b"%s %d\n" % (word, n))
    threads = [threading.Thread(target=write, args=(member, word))
               for member, word in zip(writers, (b"near", b"far"))]
    for thread in threads:
        thread.start()
    total = sum(len(b"%s %d\n" % (word, n)) for word in (b"near", b"far") for n in range(count))
    for reader in readers:
        text = receive(reader, total).split(b"\n")[:-1]
        for word in (b"near", b"far"):
            assert [line for line in text if line.startswith(word)] \
                == [b"%s %d" % (word, n) for n in range(count)]
        reader.settimeout(0.2)
        with pytest.raises(TimeoutError):
            reader.recv(1)		# nothing comes a second time
    for thread in threads:
        thread.join()


def test_three_daemons_in_a_chain_and_two_around_one_are_one_hub(twined):
    middle = twined(hub())
    ends = [twined(hub() + connector("up", middle.address("hub"), hub="hub")) for _ in range(2)]
    ends.append(twined(hub() + connector("up", ends[0].address("hub"), hub="hub")))
    for end in ends:
        end.wait_log("up .*: connected")
    members = [join(daemon) for daemon in (middle, *ends)]
    for n, sender in enumerate(members):
        sender.sendall(b"line %d\n" % n)
        for member in members:
            if member is not sender:
                assert read_line(member) == b"line %d\n" % n
    for member in members:
        member.settimeout(0.1)
        with pytest.raises(TimeoutError):
            member.recv(1)		# nothing comes a second time


def test_a_daemon_that_is_restarted_is_joined_again(twined):
    address = free_address()
    far = twined(hub(listen=address))
    near = twined(hub() + connector("up", address, hub="hub"))
    near.wait_log("up .*: connected")
    member = join(near)
    far.stop()
    near.wait_log("up .*: lost: ")
    since = len(near.log)
    far = twined(hub(listen=address))
    near.wait_log("up .*: connected", since)
    other = join(far)
    other.sendall(b"again\n")
    assert read_line(member) == b"again\n"
