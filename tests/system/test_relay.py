"""relay: a line that one peer sends reaches every other peer, whole and in order."""

import re
import socket
import threading

import pytest

from support import listener, receive, reset, wait_for


def hub(twined, count, listen="tcp://127.0.0.1:0", **keys):
    """A daemon and so many members, each of which has joined."""
    daemon = twined(listener("hub", "relay", listen, **keys))
    members = []
    for _ in range(count):
        members.append(join(daemon))
    return daemon, members


def join(daemon, scheme="tcp", **options):
    before = len(daemon.lines(": open"))
    member = daemon.connect("hub", scheme, **options)
    wait_for(lambda: len(daemon.lines(": open")) > before, "the member has joined")
    return member


def read_line(member):
    line = b""
    while not line.endswith(b"\n"):
        byte = member.recv(1)
        assert byte, f"ended after {line!r}"
        line += byte
    return line


def test_a_line_reaches_every_other_member_and_not_its_sender(twined):
    _, members = hub(twined, 4)
    members[0].sendall(b"from 0\n")
    for member in members[1:]:
        assert read_line(member) == b"from 0\n"
    members[1].sendall(b"from 1\n")
    for member in (members[0], *members[2:]):
        assert read_line(member) == b"from 1\n"


def test_loopback_gives_a_sender_its_own_lines(twined):
    _, members = hub(twined, 2, loopback="yes")
    members[0].sendall(b"one\ntwo\n")
    for member in members:
        assert receive(member, 8) == b"one\ntwo\n"


def test_lines_keep_their_order_and_are_whole_however_they_are_cut(twined):
    _, (reader, sender) = hub(twined, 2)
    text = b"".join(b"line %d %s\n" % (n, b"x" * (n % 300)) for n in range(2000))
    writer = threading.Thread(
        target=lambda: [sender.sendall(text[at:at + 777]) for at in range(0, len(text), 777)])
    writer.start()
    assert receive(reader, len(text)) == text
    writer.join()


def test_lines_of_many_senders_are_never_mixed(twined):
    _, members = hub(twined, 5)
    reader, senders = members[0], members[1:]
    count, line = 300, b"%d:%d:" + b"z" * 500 + b"\n"

    def send(which, sender):
        for number in range(count):
            text = line % (which, number)
            sender.sendall(text[:100])
            sender.sendall(text[100:])
    for which, sender in enumerate(senders):
        threading.Thread(target=send, args=(which, sender)).start()
    total = sum(len(line % (which, number)) for which in range(4) for number in range(count))
    lines = receive(reader, total).splitlines(keepends=True)
    for which in range(4):
        mine = [text for text in lines if text.startswith(b"%d:" % which)]
        assert mine == [line % (which, number) for number in range(count)]
    assert len(lines) == 4 * count


def test_a_member_hears_only_what_comes_after_it_joined(twined):
    daemon, (reader, sender) = hub(twined, 2)
    sender.sendall(b"before\n")
    assert read_line(reader) == b"before\n"
    late = join(daemon)
    sender.sendall(b"after\n")
    assert read_line(late) == b"after\n"


def test_crlf_is_read_as_a_line_end(twined):
    _, (reader, sender) = hub(twined, 2)
    sender.sendall(b"a\r\nb\nc\r")
    sender.sendall(b"\n\r\nin \r side\n")
    expected = b"a\nb\nc\n\nin \r side\n"
    assert receive(reader, len(expected)) == expected


def test_line_end_crlf_is_written(twined):
    _, (reader, sender) = hub(twined, 2, line_end="crlf")
    sender.sendall(b"a\nb\r\n")
    assert receive(reader, 6) == b"a\r\nb\r\n"


@pytest.mark.parametrize("policy, seen", [
    ("drop", b"ok\nend\n"), ("cut", b"ok\n" + b"x" * 100 + b"\nend\n")])
def test_a_line_over_max_line_is_dropped_or_cut(twined, policy, seen):
    daemon, (reader, sender) = hub(twined, 2, max_line="100", on_long_line=policy)
    sender.sendall(b"ok\n" + b"x" * 101 + b"\nend\n")
    assert receive(reader, len(seen)) == seen
    sender.sendall(b"y" * 100 + b"\n")
    assert receive(reader, 101) == b"y" * 100 + b"\n"
    reset(sender)
    daemon.wait_log(": 0 lines dropped: slow, 1 lines too long")


def test_a_line_over_max_line_can_close_its_sender(twined):
    daemon, (reader, sender) = hub(twined, 2, max_line="100", on_long_line="close")
    sender.sendall(b"ok\n" + b"x" * 101 + b"\nlost\n")
    assert sender.recv(10) == b""
    daemon.wait_closed(sender, "line_too_long")
    other = join(daemon)
    other.sendall(b"next\n")
    assert receive(reader, 8) == b"ok\nnext\n"


def test_max_line_does_not_count_the_line_end(twined):
    _, (reader, sender) = hub(twined, 2, max_line="10")
    sender.sendall(b"0123456789\r\n" + b"0123456789\n")
    assert receive(reader, 22) == b"0123456789\n" * 2


def test_a_last_line_without_an_end_is_delivered_when_its_sender_ends(twined):
    _, (reader, sender) = hub(twined, 2)
    sender.sendall(b"no end")
    sender.shutdown(socket.SHUT_WR)
    assert read_line(reader) == b"no end\n"
    sender.close()


def test_who_has_half_closed_still_receives(twined):
    _, (reader, sender) = hub(twined, 2)
    reader.sendall(b"bye\n")
    reader.shutdown(socket.SHUT_WR)
    assert read_line(sender) == b"bye\n"
    sender.sendall(b"still there?\n")
    assert read_line(reader) == b"still there?\n"


def test_a_last_line_without_an_end_counts_when_the_sender_goes_at_once(twined):
    _, (reader, sender) = hub(twined, 2)
    sender.sendall(b"gone")
    sender.close()
    assert read_line(reader) == b"gone\n"


def test_a_line_with_any_bytes_is_carried_as_it_is(twined):
    _, (reader, sender) = hub(twined, 2)
    line = bytes(byte for byte in range(256) if byte not in b"\r\n") + b"\n"
    sender.sendall(line)
    assert receive(reader, len(line)) == line


def test_tcp_and_unix_members_are_in_one_hub_and_datagrams_bring_lines(twined, directory):
    daemon, (reader,) = hub(twined, 1, f"tcp://127.0.0.1:0, unix://{directory}/s, "
                                       f"udp://127.0.0.1:0, unixgram://{directory}/d")
    local = join(daemon, "unix")
    local.sendall(b"from unix\n")
    assert read_line(reader) == b"from unix\n"
    daemon.connect("hub", "udp").send(b"several\r\nlines\nin one")
    assert receive(reader, 21) == b"several\nlines\nin one\n"
    assert receive(local, 21) == b"several\nlines\nin one\n"
    daemon.connect("hub", "unixgram").send(b"local\n")
    assert read_line(reader) == b"local\n"


def test_hubs_of_two_listeners_are_apart(twined):
    daemon = twined(listener("hub", "relay") + listener("other", "relay"))
    here = join(daemon)
    there = daemon.connect("other")
    wait_for(lambda: len(daemon.lines(": open")) == 2, "both have joined")
    there.sendall(b"there\n")
    daemon.connect("hub").sendall(b"here\n")
    assert read_line(here) == b"here\n"


def feed(sender, readers, count, line):
    """Sends lines no faster than every reader reads; returns what each has read."""
    texts = [[] for _ in readers]
    for start in range(0, count, 100):
        batch = b"".join(line % number for number in range(start, start + 100))
        sender.sendall(batch)
        for texts_of, reader in zip(texts, readers):
            texts_of.append(receive(reader, len(batch)))
    return [b"".join(parts) for parts in texts]


def test_a_stalled_member_harms_nobody_and_learns_what_it_has_lost(twined):
    daemon, members = hub(twined, 4, buffer="128K", drop_notice="# {n} lines dropped")
    stalled = join(daemon, buffer=4096)
    count, line = 20000, b"%08d " + b"x" * 590 + b"\n"
    before = daemon.rss()
    texts = feed(members[0], members[1:], count, line)
    whole = b"".join(line % number for number in range(count))
    assert all(text == whole for text in texts)
    assert daemon.rss() - before < 4 << 20
    # The stalled one: whole lines in order, and a count wherever some are missing.
    members[0].sendall(b"the end\n")
    expected, at_end = 0, False
    file = stalled.makefile("rb")
    lost = 0
    while not at_end:
        text = file.readline()
        notice = re.fullmatch(rb"# (\d+) lines dropped\n", text)
        if notice:
            expected += int(notice[1])
            lost += int(notice[1])
        elif text == b"the end\n":
            at_end = True
        else:
            assert text == line % expected
            expected += 1
    assert expected == count and lost > 0
    file.close()
    reset(stalled)
    dropped = daemon.wait_log(r"(\d+) lines dropped: slow")
    assert int(dropped[1]) == lost


def test_a_sender_that_never_ends_its_line_costs_no_more_than_max_line(twined):
    daemon, members = hub(twined, 40, max_line="8K")
    before = daemon.rss()
    for member in members:
        member.sendall(b"x" * (1 << 20))
    wait_for(lambda: daemon.cpu_time(), "it works")
    reader = join(daemon)
    members[0].sendall(b"\nend\n")
    assert read_line(reader) == b"end\n"
    assert daemon.rss() - before < 40 * 64 * 1024 + (1 << 20)
