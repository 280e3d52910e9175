"""proxy: which of several upstreams a client is given, and what becomes of those that do not
serve."""

import collections
import itertools
import signal
import socket
import threading
import time

import pytest

from backends import ask, backend, hold	# backend is a fixture
from support import PATIENCE, listener, receive, wait_for


def config(*upstreams, **keys):
    """A proxy to servers, or to what stands for them in the file."""
    texts = [one if isinstance(one, str) else one.address for one in upstreams]
    return listener("web", "proxy", upstream=", ".join(texts), **keys)


def ask_many(daemon, count):
    return collections.Counter(ask(daemon) for _ in range(count))


def summary(daemon, server):
    """What the summary says of an upstream."""
    since = len(daemon.log)
    daemon.signal(signal.SIGUSR1)
    return daemon.wait_log(rf"notice: web: upstream {server.address}: (.*)$", since)[1]


def attempts(daemon, server):
    """How often a client has been refused by a server, as the log has it so far."""
    return len(daemon.lines(rf"upstream {server.address}: Connection refused$"))


def downs(daemon):
    return len(daemon.lines(": down after"))


def test_weights_are_shares(twined, backend):
    a, b, c = backend("a"), backend("b"), backend("c")
    daemon = twined(config(f"{a.address} weight=3", b, f"{c.address} weight=0"))
    for _ in range(5):
        assert ask_many(daemon, 4) == {"a": 3, "b": 1}
    assert c.accepted == 0


def test_random_gives_everyone_some(twined, backend):
    a, b = backend("a"), backend("b")
    daemon = twined(config(f"{a.address} weight=3", b, balance="random"))
    got = ask_many(daemon, 200)
    # 50 are expected of b: so far off that chance takes a million runs for it.
    assert got["a"] + got["b"] == 200 and 20 <= got["b"] <= 82


def test_least_conn_goes_where_the_fewest_are(twined, backend):
    a, b = backend("a", hold), backend("b", hold)
    daemon = twined(config(f"{a.address} weight=2", b, balance="least_conn"))

    def open_one():
        client = daemon.connect("web")
        return receive(client, 1), client
    clients = [open_one() for _ in range(12)]
    assert collections.Counter(name for name, _ in clients) == {b"a": 8, b"b": 4}
    for name, client in clients:
        if name == b"b":
            client.close()
    wait_for(lambda: summary(daemon, b).startswith("up, 0 open"), "b's connections end")
    assert [open_one()[0] for _ in range(4)] == [b"b"] * 4
    assert sorted(open_one()[0] for _ in range(3)) == [b"a", b"a", b"b"]


def test_a_backup_serves_only_while_no_other_does(twined, backend):
    a, b, spare = backend("a"), backend("b"), backend("spare")
    daemon = twined(config(f"{spare.address} backup", a, b, max_fails=1, fail_timeout="200ms"))
    assert ask_many(daemon, 10) == {"a": 5, "b": 5}
    a.stop()
    assert set(ask_many(daemon, 10)) == {"b"}
    b.stop()
    assert set(ask_many(daemon, 10)) == {"spare"}
    a.start()
    wait_for(lambda: ask(daemon) == "a", "a serves again")
    b.start()
    wait_for(lambda: ask(daemon) == "b", "b serves again")
    assert set(ask_many(daemon, 10)) <= {"a", "b"}


def test_failures_take_an_upstream_down(twined, backend):
    a, b = backend("a", up=False), backend("b")
    daemon = twined(config(a, b, max_fails=3, fail_timeout="1h"))
    # Nobody notices.
    assert ask_many(daemon, 30) == {"b": 30}
    daemon.wait_log(rf"warning: web: upstream {a.address}: down after 3 failures: "
                    "Connection refused$")
    assert summary(daemon, a) == "down, 0 open, 0 connected, 3 refused"
    assert summary(daemon, b) == "up, 0 open, 30 connected, 0 refused"
    assert attempts(daemon, a) == 3
    assert downs(daemon) == 1


def test_without_max_fails_it_is_tried_each_time(twined, backend):
    a, b = backend("a", up=False), backend("b")
    daemon = twined(config(a, b, max_fails="none", fail_timeout="1h"))
    assert ask_many(daemon, 20) == {"b": 20}
    wait_for(lambda: attempts(daemon, a) == 10, "every second client tries it")
    a.start()
    assert "a" in ask_many(daemon, 2)
    assert not daemon.lines(": (down after|up$)")


def test_a_success_between_failures_keeps_it_up(twined, backend):
    a, b = backend("a"), backend("b")
    daemon = twined(config(a, b, max_fails=2, fail_timeout="1h"))
    for _ in range(5):
        a.stop()
        assert ask_many(daemon, 2) == {"b": 2}
        a.start()
        assert ask_many(daemon, 2) == {"a": 1, "b": 1}
    assert summary(daemon, a) == "up, 0 open, 5 connected, 5 refused"
    assert downs(daemon) == 0


def test_one_that_was_down_comes_back_by_itself(twined, backend):
    a, b = backend("a", up=False), backend("b")
    daemon = twined(config(a, b, max_fails=1, fail_timeout="100ms"))
    assert ask_many(daemon, 2) == {"b": 2}
    daemon.wait_log(": down after 1 failure: ")
    # It is tried again and again, and fails; that is no news.
    wait_for(lambda: ask(daemon) == "b" and attempts(daemon, a) > 3, "it is tried")
    assert downs(daemon) == 1
    a.start()
    wait_for(lambda: ask(daemon) == "a", "a serves")
    daemon.wait_log(rf"notice: web: upstream {a.address}: up$")
    wait_for(lambda: ask_many(daemon, 10) == {"a": 5, "b": 5}, "its whole share")


def test_the_share_of_one_that_is_back_grows(twined, backend):
    a, b = backend("a", up=False), backend("b")
    whole = 1.5
    daemon = twined(config(a, b, max_fails=1, fail_timeout=f"{int(whole * 1000)}ms"))
    ask_many(daemon, 2)
    a.start()
    asked = []

    def serves():
        asked.append(time.monotonic())
        return ask(daemon) == "a"
    wait_for(serves, "a serves", whole + PATIENCE)
    early = ask_many(daemon, 40)["a"]
    part = min((time.monotonic() - asked[-1] + 0.1) / whole, 1)
    # Its share never was larger than at the end of that time.
    assert early <= 40 * part / (1 + part) + 2
    wait_for(lambda: ask_many(daemon, 10) == {"a": 5, "b": 5}, "its whole share", whole + PATIENCE)


def test_when_all_are_down_a_client_learns_the_truth_and_who_is_back_serves(twined, backend):
    a, b, spare = backend("a", up=False), backend("b", up=False), backend("spare", up=False)
    daemon = twined(config(f"{spare.address} backup", a, b, max_fails=1, fail_timeout="1h"))
    for i in range(1, 6):
        assert ask(daemon) is None
        # Each of them was tried, down or not.
        wait_for(lambda: [attempts(daemon, one) for one in (a, b, spare)] == [i, i, i],
                 "each is tried once")
    assert downs(daemon) == 3
    b.start()
    assert ask_many(daemon, 10) == {"b": 10}
    daemon.wait_log(rf"{b.address}: up$")


def sources(count):
    return [f"127.0.{i // 200 + 1}.{i % 200 + 1}" for i in range(count)]


def test_source_is_stable_over_ports_reloads_and_the_loss_of_another(twined, backend):
    servers = [backend(name) for name in "abcd"]
    keys = {"balance": "source", "max_fails": 1, "fail_timeout": "300ms"}
    daemon = twined(config(*servers, **keys))

    def ask_all():
        return {source: ask(daemon, source=source) for source in sources(60)}
    before = ask_all()
    assert set(before.values()) == set("abcd")
    assert ask_all() == before
    # Another order of the same, and another key: it is a new listener in all but its name.
    assert daemon.reload(config(*reversed(servers), idle_timeout="2h", **keys)).returncode == 0
    assert ask_all() == before
    servers[2].stop()
    without = ask_all()
    assert None not in without.values()
    assert {source for source in before if without[source] != before[source]} == {
        source for source in before if before[source] == "c"}
    assert len({without[source] for source in before if before[source] == "c"}) > 1
    servers[2].start()
    wait_for(lambda: ask_all() == before, "its clients are back")


def test_source_is_stable_when_one_is_added(twined, backend):
    servers = [backend(name) for name in "abcde"]
    daemon = twined(config(*servers[:4], balance="source"))
    before = {source: ask(daemon, source=source) for source in sources(60)}
    assert daemon.reload(config(*servers, balance="source")).returncode == 0
    after = {source: ask(daemon, source=source) for source in sources(60)}
    moved = [source for source in before if after[source] != before[source]]
    assert {after[source] for source in moved} == {"e"}
    assert 2 <= len(moved) <= 28


def test_an_upstream_that_is_removed_keeps_its_connections(twined, backend):
    a, b = backend("a", hold), backend("b", hold)
    daemon = twined(config(a, b))
    client = daemon.connect("web")
    assert receive(client, 1) == b"a"
    assert daemon.reload(config(b)).returncode == 0
    others = [daemon.connect("web") for _ in range(3)]
    assert [receive(other, 1) for other in others] == [b"b"] * 3
    client.sendall(b"still here")
    client.shutdown(1)
    assert client.recv(1) == b""


def test_one_that_is_drained_gets_no_new_client(twined, backend):
    a, b = backend("a", hold), backend("b", hold)
    daemon = twined(config(a, b))
    client = daemon.connect("web")
    assert receive(client, 1) == b"a"
    assert daemon.reload(config(f"{a.address} weight=0", b)).returncode == 0
    others = [daemon.connect("web") for _ in range(4)]
    assert [receive(other, 1) for other in others] == [b"b"] * 4
    assert summary(daemon, a) == "drained, 0 open, 0 connected, 0 refused"
    client.shutdown(1)
    assert client.recv(1) == b""


def test_every_kind_of_stream_upstream_may_stand_beside_another(twined, backend, server, directory):
    v4, v6 = backend("4"), backend("6", family=socket.AF_INET6)
    unix = server(lambda connection: connection.sendall(b"u"), f"{directory}/up")
    daemon = twined(config(v4, v6, unix))
    assert ask_many(daemon, 9) == {"4": 3, "6": 3, "u": 3}


@pytest.mark.parametrize("balance", ["round_robin", "least_conn", "random", "source"])
def test_many_clients_at_a_time_while_upstreams_come_and_go(twined, backend, balance):
    servers = [backend(name) for name in "abcd"]
    spare = backend("s")
    daemon = twined("[daemon]\nthreads = 4\n\n" + config(
        *servers, f"{spare.address} backup", balance=balance, max_fails=2, fail_timeout="20ms"))
    served, done = collections.Counter(), threading.Event()

    def client(number):
        for source in itertools.cycle(sources(200)[number::8]):
            if done.is_set():
                break
            try:
                with daemon.connect("web", source=source) as one:
                    served[receive(one, 1)] += 1
            except ConnectionResetError:
                # A server that stops resets whom it has not accepted.
                served["reset"] += 1
    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for i in range(8):
        servers[i % 4].stop()
        wait_for(lambda: downs(daemon) > i, "one is down")
        servers[i % 4].start()
        wait_for(lambda: len(daemon.lines(": up$")) > i, "it is up")
    wait_for(lambda: sum(served.values()) > 1000, "clients enough")
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert set(served) <= {b"a", b"b", b"c", b"d", b"s", "reset"}
    assert served["reset"] <= 8 * len(threads)
    daemon.close_clients()
    for one in (*servers, spare):
        wait_for(lambda: ", 0 open, " in summary(daemon, one), "nothing is left open")
