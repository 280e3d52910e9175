"""relay: sections that share a hub, what a reload keeps of it, and what is each section's own."""

import re
import signal
import socket
import threading

import pytest

from support import listener, push, receive, reset, run, wait_for


def join(daemon, name, scheme="tcp", **options):
    """A member that has joined."""
    before = len(daemon.lines(": open"))
    member = daemon.connect(name, scheme, **options)
    wait_for(lambda: len(daemon.lines(": open")) > before, "the member has joined")
    return member


def read_line(member):
    line = b""
    while not line.endswith(b"\n"):
        byte = member.recv(1)
        assert byte, f"ended after {line!r}"
        line += byte
    return line


def sections(*, threads=4, buffer="1M", **keys):
    """An in and an out section of one hub, and one more that is both; keys are those of out."""
    return (f"[daemon]\nthreads = {threads}\n\n"
            + listener("in", "relay", hub="lines", role="in", prefix="{seq}:", buffer=buffer)
            + listener("out", "relay", hub="lines", role="out", buffer=buffer, **keys)
            + listener("lines", "relay", buffer=buffer))


def test_sections_share_a_hub(twined):
    daemon = twined(sections(line_end="crlf"))
    out, both, source = join(daemon, "out"), join(daemon, "lines"), join(daemon, "in")
    source.sendall(b"one\n")
    assert read_line(both) == b"1:one\n"
    both.sendall(b"two\n")
    out.sendall(b"nothing\n")
    source.sendall(b"three\r\n")
    assert receive(out, 21) == b"1:one\r\ntwo\r\n3:three\r\n"
    assert read_line(both) == b"3:three\n"


def test_all_members_of_a_hub_are_on_one_reactor(twined):
    names = [f"s{number}" for number in range(12)]
    daemon = twined("[daemon]\nthreads = 7\n\n"
                    + "".join(listener(name, "relay", hub="one") for name in names))
    members = [join(daemon, name) for name in names]
    for number, member in enumerate(members):
        member.sendall(b"%d\n" % number)
        for other in members:
            if other is not member:
                assert read_line(other) == b"%d\n" % number


def test_hubs_of_other_names_are_apart(twined):
    daemon = twined(listener("a", "relay", hub="x") + listener("x", "relay", hub="a"))
    here, there = join(daemon, "a"), join(daemon, "x")
    other = join(daemon, "x")
    here.sendall(b"to x\n")
    there.sendall(b"to a\n")
    assert read_line(other) == b"to a\n"


@pytest.mark.parametrize("after", [
    sections(history="5"), sections(history="5", line_end="crlf"),
    sections(history="5", buffer="64K"), sections(history="5", buffer="4M")])
def test_a_reload_keeps_a_hub(twined, after):
    daemon = twined(sections(history="5"))
    out, both, source = join(daemon, "out"), join(daemon, "lines"), join(daemon, "in")
    for number in range(1, 10):
        source.sendall(b"%d\n" % number)
        assert read_line(both) == b"%d:%d\n" % (number, number)
    assert daemon.reload(after).returncode == 0
    source.sendall(b"10\n")
    assert read_line(both) == b"10:10\n"
    assert receive(out, 42) == b"".join(b"%d:%d\n" % (n, n) for n in range(1, 11))
    late = join(daemon, "out")
    end = b"\r\n" if "crlf" in after else b"\n"
    assert [read_line(late) for _ in range(5)] == [b"%d:%d" % (n, n) + end for n in range(6, 11)]
    join(daemon, "lines").sendall(b"new\n")
    for member in (out, both):
        assert read_line(member) == b"new\n"


def test_a_hub_lives_on_with_the_connections_of_its_last_section(twined):
    daemon = twined(listener("a", "relay", hub="x") + listener("echo", "echo"))
    one, two = join(daemon, "a"), join(daemon, "a")
    assert daemon.reload(listener("echo", "echo")).returncode == 0
    one.sendall(b"still here\n")
    assert read_line(two) == b"still here\n"
    daemon.listening.clear()
    assert daemon.reload(listener("b", "relay", hub="x", history="1")).returncode == 0
    three = join(daemon, "b")
    assert read_line(three) == b"still here\n"
    three.sendall(b"all together\n")
    for member in (one, two):
        assert read_line(member) == b"all together\n"


def test_a_hub_is_gone_with_its_last_member(twined):
    daemon = twined(listener("a", "relay", hub="x", history="9") + listener("echo", "echo"))
    member = join(daemon, "a")
    member.sendall(b"old\n")
    assert daemon.reload(listener("echo", "echo")).returncode == 0
    reset(member)
    daemon.wait_log(": closed: ")
    daemon.listening.clear()
    assert daemon.reload(listener("b", "relay", hub="x", history="9", loopback="yes")).returncode == 0
    member = join(daemon, "b")
    member.sendall(b"new\n")
    assert read_line(member) == b"new\n"


def test_a_failed_reload_changes_nothing(twined):
    daemon = twined(sections(history="5"), errors=".")
    both, source = join(daemon, "lines"), join(daemon, "in")
    source.sendall(b"1\n")
    assert read_line(both) == b"1:1\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = listener("busy", "echo", "tcp://127.0.0.1:%d" % taken.getsockname()[1])
        result = daemon.reload(sections(buffer="64K", line_end="crlf") + busy)
    assert result.returncode == 1
    result = daemon.reload(sections() + listener("more", "relay", hub="lines", buffer="2M"))
    assert 'buffer: "2M" is not the "1M" of [listener:in]' in result.stderr
    source.sendall(b"2\n")
    assert read_line(both) == b"2:2\n"
    assert receive(join(daemon, "out"), 8) == b"1:1\n2:2\n"


def test_a_smaller_ring_keeps_the_last_lines(twined):
    big = listener("a", "relay", buffer="1M", history="100000", max_line="2K")
    daemon = twined(big)
    source, reader = join(daemon, "a"), join(daemon, "a")
    text = b"".join(b"%06d" % n + b"x" * 93 + b"\n" for n in range(2000))
    source.sendall(text)
    assert receive(reader, len(text)) == text
    assert daemon.reload(big.replace("1M", "20K")).returncode == 0
    late = join(daemon, "a")
    source.sendall(b"end\n")
    kept = b""
    while not kept.endswith(b"end\n"):
        kept += late.recv(65536)
    assert text.endswith(kept[:-4]) and 19000 < len(kept) <= 20480 + 4
    assert receive(reader, 4) == b"end\n"


def test_the_lines_of_a_section_before_a_reload_may_be_too_long_for_the_ring(twined):
    daemon = twined(listener("a", "relay", max_line="60K"))
    source, reader = join(daemon, "a"), join(daemon, "a")
    assert daemon.reload(listener("a", "relay", buffer="20K", max_line="8K")).returncode == 0
    source.sendall(b"x" * 50000 + b"\nshort\n")
    assert read_line(reader) == b"short\n"
    reset(source)
    daemon.wait_log("1 lines too long")


def test_a_reload_while_lines_are_published(twined):
    config = sections()
    daemon = twined(config)
    readers, source = [join(daemon, "lines") for _ in range(4)], join(daemon, "in")
    count = 20000
    writer = threading.Thread(target=lambda: [source.sendall(b"%d\n" % n) for n in range(count)])
    writer.start()
    for number in range(6):
        changed = sections(buffer="256K" if number % 2 else "1M", history=str(number))
        assert daemon.reload(changed).returncode == 0
    expected = b"".join(b"%d:%d\n" % (n + 1, n) for n in range(count))
    for reader in readers:
        assert receive(reader, len(expected)) == expected
    writer.join()


def test_the_summary_has_a_line_for_each_hub(twined):
    daemon = twined(sections() + listener("alone", "relay"))
    both, source = join(daemon, "lines"), join(daemon, "in")
    source.sendall(b"12345\n67890\n")
    assert receive(both, 16) == b"1:12345\n2:67890\n"
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log(r"notice: in: hub lines: 2 members, 0 slow, 2 lines, 16 bytes, 0 lines dropped: slow$")
    daemon.wait_log(r"notice: alone: hub alone: 0 members, 0 slow, 0 lines, 0 bytes, ")
    assert len(daemon.lines(": hub lines: ")) == 1


def test_a_filter_holds_both_ways(twined):
    daemon = twined(listener("a", "relay", hub="h", filter='-"# ", /^[a-z]+:/, +ok')
                    + listener("b", "relay", hub="h"))
    a, b = join(daemon, "a"), join(daemon, "b")
    a.sendall(b"# no\nx: yes\nnever\nok too\n")
    assert receive(b, 14) == b"x: yes\nok too\n"
    b.sendall(b"# no\nnever\nx: yes\nend:\n")
    assert receive(a, 12) == b"x: yes\nend:\n"
    late = join(daemon, "b")
    late.sendall(b"ok\n")
    assert read_line(a) == b"ok\n"


def test_line_rate_holds_a_member_back_and_nobody_else(twined):
    daemon = twined(listener("a", "relay", "tcp://127.0.0.1:0, udp://127.0.0.1:0", line_rate="50/s"))
    reader, fast, slow = (join(daemon, "a") for _ in range(3))
    fast.sendall(b"".join(b"f%d\n" % n for n in range(200)))
    slow.sendall(b"slow\n")
    lines = [read_line(reader) for _ in range(201)]
    assert [line for line in lines if line != b"slow\n"] == [b"f%d\n" % n for n in range(200)]
    # The burst came before the other's line, what was over the rate after it.
    assert 0 < lines.index(b"slow\n") < 200
    daemon.connect("a", "udp").send(b"d\n" * 200)
    for _ in range(50):
        assert read_line(reader) == b"d\n"
    daemon.signal(signal.SIGUSR1)
    dropped = daemon.wait_log(r"hub a: .*, (\d+) by datagram over line_rate$")
    assert 0 < int(dropped[1]) <= 150


def test_history_by_age(twined):
    daemon = twined(listener("new", "relay", hub="h", history_age="1ms")
                    + listener("all", "relay", hub="h", history_age="1h")
                    + listener("two", "relay", hub="h", history="2", history_age="1h"))
    first = join(daemon, "all")
    first.sendall(b"1\n2\n3\n")
    assert receive(join(daemon, "all"), 6) == b"1\n2\n3\n"
    assert receive(join(daemon, "two"), 4) == b"2\n3\n"

    def gets_nothing_old():
        member = join(daemon, "new")
        first.sendall(b"new\n")
        return read_line(member) == b"new\n"
    wait_for(gets_nothing_old, "the lines are too old")


def test_a_greeting_comes_before_history(twined):
    daemon = twined(listener("a", "relay", greeting="Hello", history="1", line_end="crlf"))
    first = join(daemon, "a")
    assert read_line(first) == b"Hello\r\n"
    first.sendall(b"x\n")
    assert receive(join(daemon, "a"), 10) == b"Hello\r\nx\r\n"


@pytest.mark.parametrize("keys", [
    {}, {"filter": "/^(twined|x)/"}, {"filter": "-twined"}, {"line_rate": "1/m"}, {"line_end": "crlf"},
    {"greeting": "Hello", "history": "100"}, {"prefix": "{time} {member}: "}, {"max_line": "3"},
    {"role": "in"}, {"role": "out"}, {"loopback": "yes"}, {"buffer": "64K", "history_age": "1h"}])
def test_a_probe_of_every_kind_of_section(twined, keys):
    # Who only receives has a connection.
    schemes = ["tcp"] if keys.get("role") == "out" else ["tcp", "udp"]
    listen = ", ".join(f"{scheme}://127.0.0.1:0" for scheme in schemes)
    daemon = twined(listener("a", "relay", listen, hub="h", **keys)
                    + listener("b", "relay", hub="h", buffer=keys.get("buffer", "1M")))
    member = join(daemon, "b")
    addresses = ", ".join(daemon.address("a", scheme) for scheme in schemes)
    path = daemon.path + ".probe"
    with open(path, "w", encoding="utf-8") as file:
        file.write(listener("a", "relay", addresses, hub="h", **keys))
    result = run("-p", "-c", path)
    assert result.returncode == 0, result.stdout + result.stderr
    # What others hear of it: its line, or nothing at all.
    join(daemon, "b").sendall(b"end\n")
    heard = []
    while not heard or heard[-1] != b"end\n":
        heard.append(read_line(member))
    sends = keys.get("role", "both") == "both" and keys.get("filter") != "-twined"
    assert len(heard) - 1 == (2 if sends else 0) or "line_rate" in keys
    if "max_line" not in keys:
        assert all(re.search(rb"twined probe ", line) for line in heard[:-1])


def stalled_hub(twined, **keys):
    """A hub with a member that reads nothing, and never times out; the daemon, and who feeds it."""
    common = {"hub": "h", "write_timeout": "none"}
    daemon = twined("[daemon]\nthreads = 1\nshutdown_timeout = 1s\n\n"
                    + listener("slow", "relay", role="in", line_rate="6/m", **common)
                    + listener("feed", "relay", role="in", **common)
                    + listener("out", "relay", role="out", **common)
                    + listener("all", "relay", **common))
    join(daemon, "out", buffer=4096)
    return daemon


def test_a_stop_ends_though_line_rate_and_room_are_waited_for(twined):
    daemon = stalled_hub(twined)
    slow = join(daemon, "slow")
    slow.sendall(b"x\n" * 200)
    push(join(daemon, "feed"), b"y" * 999 + b"\n")
    daemon.stop()


def test_one_that_reads_nothing_among_short_lines_does_not_hold_up_long_ones(twined):
    """It stands in the newer half of the lines, and in the older half of the bytes."""
    daemon = stalled_hub(twined)
    feed = join(daemon, "feed")
    pushed = push(feed, b"s" * 15 + b"\n", quiet_s=0.1)
    reader = join(daemon, "out")

    def send():
        feed.sendall(b"s" * (16 - pushed % 16 - 1) + b"\n" if pushed % 16 else b"")
        for _ in range(300):
            feed.sendall(b"l" * 8000 + b"\n")
    writer = threading.Thread(target=send)
    writer.start()
    with reader.makefile("rb") as lines:
        got = 0
        while got < 300:
            got += lines.readline() == b"l" * 8000 + b"\n"
    writer.join()


def test_two_that_send_and_read_are_not_held_up_by_one_that_reads_nothing(twined):
    daemon = stalled_hub(twined)
    members = [join(daemon, "all") for _ in range(2)]
    lines, count = b"t" * 999 + b"\n", 20000

    def send(member):
        for _ in range(count // 100):
            member.sendall(lines * 100)
    senders = [threading.Thread(target=send, args=(member,)) for member in members]
    got = []
    readers = [threading.Thread(target=lambda member=member:
                                got.append(len(receive(member, count * 1000))))
               for member in members]
    for thread in senders + readers:
        thread.start()
    for thread in senders + readers:
        thread.join()
    assert got == [count * 1000] * 2


@pytest.mark.parametrize("buffer", ["8M", "1M"], ids=["behind", "fallen"])
def test_who_is_closed_for_a_long_line_gets_whole_lines(twined, buffer):
    daemon = twined(listener("it", "relay", max_line="100", on_long_line="close", buffer=buffer,
                             linger_timeout="100ms"))
    member, feed = join(daemon, "it", buffer=4096), join(daemon, "it")
    feed.sendall((b"z" * 98 + b"\n") * 20000)
    member.sendall(b"l" * 200 + b"\n")
    got = receive(member, 1 << 40)
    assert got.endswith(b"z\n") and set(got.split(b"\n")) == {b"z" * 98, b""}
    daemon.wait_log("closed: line_too_long, ")
