"""Reload: the whole new configuration or nothing, and no connection is cut."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import (PATIENCE, SANITIZED, TWINED, exchange, free_address, listener, receive,
                     receive_all, run, wait_for)


def is_served(daemon, name, scheme="tcp"):
    client = daemon.connect(name, scheme)
    client.send(b"hi")
    return client.recv(10) == b"hi"


def inodes(daemon):
    """The sockets it listens on: address to inode."""
    own = {name[8:-1] for name in daemon.descriptors() if name.startswith("socket:[")}
    found = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with open(f"/proc/{daemon.pid}/net/{table}", encoding="ascii") as file:
            for row in (line.split() for line in file.readlines()[1:]):
                if row[9] in own and (row[3] == "0A" or table.startswith("udp")):
                    found[f"{table} {row[1]}"] = row[9]
    return found


@pytest.fixture(params=["signal", "command"])
def reload(request):
    """Both ways to ask for it; waits for the outcome."""
    def ask(daemon, config, outcome="reloaded"):
        since = len(daemon.log)
        daemon.write(config)
        if request.param == "command":
            result = run("--reload", str(daemon.pid))
            assert result.returncode == (0 if outcome == "reloaded" else 1), result.stderr
        else:
            daemon.signal(signal.SIGHUP)
        daemon.wait_log(outcome, since)
    return ask


def test_a_listener_is_added(twined, reload):
    daemon = twined(listener("one", "echo"))
    reload(daemon, listener("one", "echo") + listener("two", "echo"))
    assert is_served(daemon, "one") and is_served(daemon, "two")


def test_a_listener_is_removed_and_its_connections_go_on(twined, reload, directory):
    keep, gone = listener("keep", "echo"), listener("gone", "echo", f"tcp://127.0.0.1:0, "
                                                    f"unix://{directory}/gone")
    daemon = twined(keep + gone)
    clients = [daemon.connect("gone"), daemon.connect("gone", "unix")]
    for client in clients:
        client.sendall(b"before")
        assert receive(client, 6) == b"before"
    reload(daemon, keep)
    for client in clients:
        client.sendall(b"after")
        assert receive(client, 5) == b"after"
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
    with pytest.raises(ConnectionRefusedError):
        daemon.connect("gone")
    assert not os.path.exists(f"{directory}/gone")
    assert is_served(daemon, "keep")


def test_a_listener_is_changed_and_its_old_connections_keep_what_they_began_with(twined, reload):
    address = free_address()
    daemon = twined(listener("it", "echo", address, idle_timeout="1h"))
    old = daemon.connect("it")
    old.sendall(b"?")
    assert receive(old, 1) == b"?"
    reload(daemon, listener("it", "echo", address, idle_timeout="200ms", linger_timeout="100ms"))
    new = daemon.connect_to(address)
    assert receive_all(new) == b""		# the new time-out
    old.sendall(b"!")
    assert receive(old, 1) == b"!"


def test_a_listener_changes_its_protocol(twined, reload):
    address = free_address()
    daemon = twined(listener("it", "echo", address))
    old = daemon.connect("it")
    old.sendall(b"?")
    assert receive(old, 1) == b"?"
    reload(daemon, listener("it", "time", address))
    assert len(receive_all(daemon.connect_to(address))) == 4
    old.sendall(b"still an echo")
    assert receive(old, 13) == b"still an echo"


def test_a_listener_moves_to_another_address(twined, reload, directory):
    daemon = twined(listener("it", "echo", f"unix://{directory}/old"))
    reload(daemon, listener("it", "echo", f"unix://{directory}/new"))
    assert not os.path.exists(f"{directory}/old")
    client = daemon.connect_to(f"unix://{directory}/new")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"


def test_an_address_moves_to_another_listener(twined, reload):
    address = free_address()
    daemon = twined(listener("a", "echo", address))
    reload(daemon, listener("b", "discard", address))
    assert exchange(daemon.connect_to(address), b"hi") == b""


def test_two_listeners_exchange_their_addresses(twined, reload, directory):
    def config(first, second):
        return (listener("a", "echo", f"unix://{directory}/{first}")
                + listener("b", "time", f"unix://{directory}/{second}"))
    daemon = twined(config("1", "2"))
    reload(daemon, config("2", "1"))
    assert exchange(daemon.connect_to(f"unix://{directory}/2"), b"hi") == b"hi"
    assert len(receive_all(daemon.connect_to(f"unix://{directory}/1"))) == 4


def test_unchanged_listeners_keep_their_sockets(twined, reload):
    same = listener("one", "echo") + listener("two", "echo", "udp://127.0.0.1:0, tcp://127.0.0.1:0")
    daemon = twined(same)
    before = inodes(daemon)
    assert len(before) == 3
    reload(daemon, "; another comment\n\n" + same + listener("three", "echo"))
    after = inodes(daemon)
    assert before.items() <= after.items() and len(after) == 4
    assert not daemon.lines("(one|two) .*(changed|closed)")


def test_a_changed_listener_keeps_the_socket_of_an_unchanged_address(twined, reload):
    address = free_address()
    daemon = twined(listener("it", "echo", address))
    before = inodes(daemon)
    reload(daemon, listener("it", "echo", address, idle_timeout="3m"))
    assert inodes(daemon) == before


def test_a_port_picked_by_the_system_stays_over_a_change(twined, reload):
    daemon = twined(listener("it", "echo"))
    before = inodes(daemon)
    reload(daemon, listener("it", "echo", idle_timeout="3m"))
    assert inodes(daemon) == before
    assert is_served(daemon, "it")


@pytest.mark.parametrize("bad, error", [
    ("[listener:one\n", "twined.ini:1: "),
    (listener("one", "echo") + "[listener:two]\nlisten = tcp://127.0.0.1:0\nprotocol = gopher\n",
     "twined.ini:7: .*gopher"),
    (listener("one", "echo", idle_timeout="5 parsecs"), "twined.ini:4: .*idle_timeout"),
    ("", "listener"),
    (listener("one", "echo") + listener("two", "echo", "unix:///nowhere/at/all/s"),
     r"twined.ini:\d+: \[listener:two\] listen: unix:///nowhere/at/all/s"),
])
def test_a_bad_file_changes_nothing_and_is_told(twined, reload, bad, error):
    daemon = twined(listener("one", "echo"), errors="twined.ini:|reload failed|listener")
    before = inodes(daemon)
    client = daemon.connect("one")
    reload(daemon, bad, outcome="error: reload failed")
    daemon.wait_log("error: .*" + error)
    assert inodes(daemon) == before
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"
    assert is_served(daemon, "one")
    state = daemon.wait_state("READY=1", 2)
    assert "STATUS=" in state and "ail" in state
    # And the next good one counts.
    reload(daemon, listener("one", "echo") + listener("two", "echo"))
    assert is_served(daemon, "two")


def test_a_missing_file_changes_nothing(twined):
    daemon = twined(listener("one", "echo"), errors="twined.ini|reload failed")
    os.unlink(daemon.path)
    result = run("--reload", str(daemon.pid))
    assert result.returncode == 1 and daemon.path in result.stderr
    assert is_served(daemon, "one")


def test_a_new_address_that_is_taken_changes_nothing(twined, directory):
    taken = twined(listener("other", "echo")).address("other")
    config = listener("one", "echo")
    daemon = twined(config, errors="in use|reload failed")
    result = daemon.reload(config + listener("apple", "echo", f"unix://{directory}/apple")
                           + listener("two", "echo", taken) + listener("zoo", "echo"))
    assert result.returncode == 1 and taken in result.stderr and "in use" in result.stderr
    assert not os.path.exists(f"{directory}/apple")
    assert not daemon.lines("(apple|zoo) .*listening")
    assert is_served(daemon, "one")


def test_a_failed_reload_takes_no_unix_socket_away(twined, directory):
    config = listener("one", "echo", f"unix://{directory}/one")
    daemon = twined(config, errors="twined.ini|reload failed")
    inode = os.stat(f"{directory}/one").st_ino
    bad = daemon.reload(listener("one", "echo", f"unix://{directory}/one", socket_mode="0600")
                        + listener("two", "echo", f"unix://{directory}/none/two"))
    assert bad.returncode == 1
    assert os.stat(f"{directory}/one").st_ino == inode
    assert os.stat(f"{directory}/one").st_mode & 0o777 == 0o660
    assert is_served(daemon, "one", "unix")


def test_the_command_prints_nothing_when_all_is_well(twined):
    daemon = twined(listener("one", "echo"))
    result = daemon.reload(listener("one", "echo"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_command_prints_every_error(twined):
    daemon = twined(listener("one", "echo"), errors="twined.ini|reload failed")
    result = daemon.reload("[listener:one]\nlisen = tcp://127.0.0.1:0\nprotocol = gopher\n")
    assert result.returncode == 1
    assert f"{daemon.path}:2: [listener:one] lisen: unknown key" in result.stderr
    assert f"{daemon.path}:3: [listener:one] protocol:" in result.stderr


def test_the_command_of_another_user_is_refused(twined, root):
    daemon = twined(listener("one", "echo"))
    os.chmod(daemon.directory, 0o755)

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    result = subprocess.run([TWINED, "--reload", str(daemon.pid)], preexec_fn=become_nobody,
                            capture_output=True, timeout=PATIENCE, check=False)
    assert result.returncode == 1 or result.returncode == 126
    assert not daemon.lines("reloaded")


def test_the_command_is_answered_after_the_change_is_made(twined):
    address = free_address()
    daemon = twined(listener("it", "echo", address))
    for n in range(10):
        protocol = ("time", "echo")[n % 2]
        assert daemon.reload(listener("it", protocol, address)).returncode == 0
        reply = exchange(daemon.connect_to(address), b"hello")
        assert len(reply) == (4, 5)[n % 2]


def test_a_listener_of_the_command_line_stays(twined):
    daemon = twined(listener("file", "echo"), args=["-L", "discard tcp://127.0.0.1:0"])
    address = daemon.address("discard")
    assert daemon.reload(listener("other", "echo")).returncode == 0
    assert exchange(daemon.connect_to(address), b"hi") == b""


def test_a_reload_in_mid_transfer_loses_no_byte(twined, server):
    def echo(connection):
        while data := connection.recv(1 << 16):
            connection.sendall(data)
    upstream = server(echo)
    data = os.urandom(4 << 20)

    def config(n):
        return (listener("echo", "echo", address, idle_timeout=f"{n + 1}m")
                + listener("web", "proxy", web, upstream=upstream, idle_timeout=f"{n + 1}m"))
    address, web = free_address(), free_address()
    daemon = twined(config(100))
    results, done = [], threading.Event()

    def transfer(where):
        while not done.is_set():
            results.append(exchange(daemon.connect_to(where), data) == data)
    threads = [threading.Thread(target=transfer, args=(where,)) for where in (address, web) * 2]
    for thread in threads:
        thread.start()
    codes = [daemon.reload(config(n)).returncode for n in range(12)]
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert codes == [0] * 12
    assert len(results) >= 4 and all(results)


def test_no_connection_in_the_backlog_is_lost_when_its_listener_changes(twined):
    address, results, done = free_address(), [], threading.Event()
    daemon = twined(listener("it", "echo", address))

    def connect():
        while not done.is_set():
            try:
                results.append(exchange(daemon.connect_to(address), b"hi") == b"hi")
            except OSError as error:
                results.append(error)
    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    codes = [daemon.reload(listener("it", "echo", address, idle_timeout=f"{n + 1}m")).returncode
             for n in range(20)]
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert codes == [0] * 20
    assert [result for result in results if result is not True] == [] and len(results) >= 4


WIDENED = [("127.0.0.1", "*"), ("0.0.0.0", "*"), ("127.0.0.1", "0.0.0.0"), ("[::1]", "[::]")]


def at(host, port):
    return f"tcp://{host}:{port}"


def dialled(hosts, port):
    """Where clients connect to, whichever of the hosts is listened at."""
    return f"tcp://{'[::1]' if '[' in hosts[0] else '127.0.0.1'}:{port}"


@pytest.mark.parametrize("hosts", WIDENED, ids=" ".join)
@pytest.mark.parametrize("narrow", [False, True])
def test_an_address_is_widened_or_narrowed_and_who_waits_is_served(twined, hosts, narrow):
    first, second = reversed(hosts) if narrow else hosts
    port = int(free_address().rpartition(":")[2])
    daemon = twined(listener("it", "echo", at(first, port), max_connections=1))
    clients = [daemon.connect_to(dialled(hosts, port)) for _ in range(4)]
    for client in clients:
        client.sendall(b"?")
    assert receive(clients[0], 1) == b"?"
    for host in (second, first):
        result = daemon.reload(listener("it", "echo", at(host, port), max_connections=100))
        assert (result.returncode, result.stderr) == (0, "")
        clients.append(daemon.connect_to(dialled(hosts, port)))
        clients[-1].sendall(b"?")
    for client in clients[1:]:
        assert receive(client, 1) == b"?"
    assert len(inodes(daemon)) == 1


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("hosts", WIDENED, ids=" ".join)
def test_no_connection_is_lost_while_an_address_is_widened_and_narrowed(twined, hosts, fails):
    port = int(free_address().rpartition(":")[2])
    results, done = [], threading.Event()
    daemon = twined(listener("it", "echo", at(hosts[0], port)), errors="worse|reload failed")

    def connect():
        while not done.is_set():
            try:
                results.append(exchange(daemon.connect_to(dialled(hosts, port)), b"hi") == b"hi")
            except OSError as error:
                results.append(error)
    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    worse = listener("worse", "echo", "unix:///none/s") if fails else ""
    codes = [daemon.reload(listener("it", "echo", at(hosts[1 - n % 2], port)) + worse).returncode
             for n in range(10)]
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert codes == [int(fails)] * 10
    assert [result for result in results if result is not True] == [] and len(results) >= 4


def test_counters_and_limits_go_on_over_a_change(twined):
    address = free_address()
    daemon = twined(listener("it", "echo", address, max_connections="2"))
    clients = [daemon.connect("it") for _ in range(2)]
    for client in clients:
        client.sendall(b"?")
        assert receive(client, 1) == b"?"
    assert daemon.reload(listener("it", "echo", address, max_connections="2",
                                  idle_timeout="5m")).returncode == 0
    third = daemon.connect_to(address)
    third.sendall(b"?")
    third.settimeout(0.2)
    with pytest.raises(TimeoutError):
        third.recv(1)
    clients.pop().close()
    third.settimeout(PATIENCE)
    assert receive(third, 1) == b"?"
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log(r"it.*\b3 accepted")


def test_a_raised_limit_lets_in_who_waits(twined):
    address = free_address()
    daemon = twined(listener("it", "echo", address, max_connections="1"))
    first = daemon.connect("it")
    first.sendall(b"?")
    assert receive(first, 1) == b"?"
    second = daemon.connect("it")
    second.sendall(b"?")
    assert daemon.reload(listener("it", "echo", address, max_connections="2")).returncode == 0
    assert receive(second, 1) == b"?"


def test_log_level_changes(twined):
    daemon = twined(listener("it", "echo"))
    assert daemon.reload("[daemon]\nlog_level = notice\n" + listener("it", "echo")).returncode == 0
    is_served(daemon, "it")
    assert daemon.reload("[daemon]\nlog_level = info\n" + listener("it", "echo")).returncode == 0
    assert not daemon.lines(": open")
    is_served(daemon, "it")
    daemon.wait_log(": open")


def test_a_change_that_needs_a_restart_says_so(twined):
    daemon = twined("[daemon]\nthreads = 1\n" + listener("it", "echo"))
    assert daemon.reload("[daemon]\nthreads = 2\n" + listener("it", "echo")).returncode == 0
    daemon.wait_log("warning: .*threads.*restart")
    assert is_served(daemon, "it")


def test_many_reloads_leak_no_descriptor_and_no_memory(twined, directory):
    daemon = twined(listener("a", "echo") + listener("b", "relay", f"unix://{directory}/b"))

    def change(n):
        return (listener("a", "echo", idle_timeout=f"{n + 1}s")
                + listener("b", "relay", f"unix://{directory}/b{n % 2}")
                + (listener("c", "chargen", "udp://127.0.0.1:0") if n % 3 else ""))
    for n in range(10):
        assert daemon.reload(change(n)).returncode == 0
    descriptors, memory = len(daemon.descriptors()), daemon.rss()
    for n in range(10, 70):
        assert daemon.reload(change(n)).returncode == 0
    wait_for(lambda: abs(len(daemon.descriptors()) - descriptors) <= 1,
             "as many as before are open")
    assert SANITIZED or daemon.rss() - memory < 4 << 20


def test_hups_in_quick_succession_all_end_well(twined):
    daemon = twined(listener("it", "echo"))
    for _ in range(50):
        daemon.signal(signal.SIGHUP)
    daemon.wait_log("reloaded")
    started = time.monotonic()
    while time.monotonic() - started < 0.3:
        assert is_served(daemon, "it")


def test_the_descriptor_of_a_removed_listener_is_closed(twined):
    daemon = twined(listener("a", "echo") + listener("b", "echo"))
    before = len(inodes(daemon))
    assert daemon.reload(listener("a", "echo")).returncode == 0
    wait_for(lambda: len(inodes(daemon)) == before - 1, "the socket is closed")


def test_an_included_file_is_read_again(twined, directory):
    config = "[daemon]\ninclude = more/*.ini\n" + listener("it", "echo")
    daemon = twined(config, errors="extra.ini|reload failed")
    os.mkdir(f"{daemon.directory}/more")
    with open(f"{daemon.directory}/more/extra.ini", "w", encoding="ascii") as file:
        file.write(listener("extra", "echo"))
    assert daemon.reload().returncode == 0
    assert is_served(daemon, "extra")
    with open(f"{daemon.directory}/more/extra.ini", "w", encoding="ascii") as file:
        file.write("[listener:extra]\nprotocol = echo\n")
    result = daemon.reload()
    assert result.returncode == 1 and "more/extra.ini:1: " in result.stderr
    assert is_served(daemon, "extra")
