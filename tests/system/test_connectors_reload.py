"""connector: what a reload does to it."""

import signal
import socket
import threading

import pytest

from support import free_address, listener, receive, receive_all, wait_for
from test_connectors import connector, hub, join, read_line, remote	# the last is a fixture


def test_one_that_is_unchanged_keeps_its_connection(twined, remote):
    far = remote()
    up = connector("up", far.address, hub="hub")
    daemon = twined(hub() + up)
    peer, member = far.accept(), join(daemon)
    assert daemon.reload(hub() + listener("more", "echo") + up).returncode == 0
    peer.sendall(b"still\n")
    assert read_line(member) == b"still\n"
    assert len(daemon.lines("connected")) == 1
    assert not daemon.lines("connector for relay (changed|closed)")


def test_one_that_is_added_dials(twined, remote):
    far = remote()
    daemon = twined(hub())
    member = join(daemon)
    assert daemon.reload(hub() + connector("up", far.address, hub="hub")).returncode == 0
    far.accept().sendall(b"new\n")
    assert read_line(member) == b"new\n"
    daemon.wait_log("notice: up: connector for relay begins$")


def test_one_that_is_removed_ends_in_order(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub"))
    peer, member, reader = far.accept(), join(daemon), join(daemon)
    lines = b"".join(b"line %06d\n" % n for n in range(20000))
    writer = threading.Thread(target=member.sendall, args=(lines,))
    writer.start()
    assert receive(reader, len(lines)) == lines	# all of it has been published
    writer.join()
    peer.sendall(b"last words\n")
    assert daemon.reload(hub()).returncode == 0
    assert receive_all(peer) == lines
    peer.close()
    assert read_line(member) == b"last words\n"
    daemon.wait_log("notice: up: connector for relay closed$")
    far.listening.settimeout(0.3)
    with pytest.raises(TimeoutError):
        far.accept()


@pytest.mark.parametrize("reloads", [False, True])
def test_what_it_is_owed_is_sent_at_a_stop_too(twined, remote, reloads):
    far = remote()
    config = hub(buffer="8M") + connector("up", far.address, hub="hub", role="out", buffer="8M")
    daemon = twined(config)
    peer, member, reader = far.accept(), join(daemon), join(daemon)
    lines = b"".join(b"%099d\n" % n for n in range(60000))
    writer = threading.Thread(target=member.sendall, args=(lines,))
    writer.start()
    assert receive(reader, len(lines)) == lines
    writer.join()
    if reloads:
        assert daemon.reload(config + "connect_timeout = 9s\n").returncode == 0
    daemon.signal(signal.SIGTERM)
    daemon.wait_state("STOPPING=1")
    assert receive_all(peer) == lines


@pytest.mark.parametrize("change", ["address", "hub", "prefix", "reconnect_max"])
def test_one_that_is_changed_dials_anew_and_ends_what_it_had(twined, remote, change):
    one, two = remote(), remote()
    keys = {"hub": "hub"}
    daemon = twined(hub() + hub("other") + connector("up", one.address, **keys))
    peer, member = one.accept(), join(daemon)
    wait_for(lambda: daemon.lines(": connected"), "connected")
    address = two.address if change == "address" else one.address
    keys.update({"hub": {"hub": "other"}, "prefix": {"prefix": "now:"},
                 "reconnect_max": {"reconnect_max": "500ms"}}.get(change, {}))
    assert daemon.reload(hub() + hub("other") + connector("up", address, **keys)).returncode == 0
    assert peer.recv(1) == b""
    peer.close()
    again = (two if change == "address" else one).accept()
    reader = join(daemon, "other") if change == "hub" else member
    again.sendall(b"line\n")
    assert read_line(reader) == (b"now:line\n" if change == "prefix" else b"line\n")
    daemon.wait_log("notice: up: connector for relay changed$")


def test_one_that_waits_is_replaced(twined, remote):
    absent, far = free_address(), remote()
    daemon = twined(connector("up", absent, reconnect_min="1h", reconnect_max="1h"))
    daemon.wait_log("again in")
    assert daemon.reload(connector("up", far.address)).returncode == 0
    far.accept()


def test_one_that_is_disabled_and_enabled_again(twined, remote):
    far = remote()
    daemon = twined(hub() + connector("up", far.address, hub="hub"))
    with far.accept() as peer:
        assert daemon.reload(hub() + connector("up", far.address, hub="hub", enabled="no")).returncode == 0
        assert peer.recv(1) == b""
    assert daemon.reload(hub() + connector("up", far.address, hub="hub")).returncode == 0
    far.accept()


def test_a_reload_that_fails_changes_nothing(twined, remote):
    far = remote()
    up = connector("up", far.address, hub="hub")
    daemon = twined(hub() + up, errors="error: ")
    peer, member = far.accept(), join(daemon)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        changed = connector("up", free_address(), hub="hub") + connector("more", free_address())
        result = daemon.reload(hub() + changed + listener("taken", "echo", f"tcp://127.0.0.1:{port}"))
    assert result.returncode == 1
    peer.sendall(b"still\n")
    assert read_line(member) == b"still\n"
    assert not daemon.lines("more")


def test_a_hub_goes_on_when_only_its_listener_is_removed(twined, remote):
    far, two = remote(), remote()
    ends = connector("up", far.address, hub="hub") + connector("down", two.address, hub="hub")
    daemon = twined(hub() + ends)
    first, second = far.accept(), two.accept()
    wait_for(lambda: len(daemon.lines(": connected")) == 2, "both are connected")
    assert daemon.reload(ends).returncode == 0
    first.sendall(b"over\n")
    assert read_line(second) == b"over\n"
