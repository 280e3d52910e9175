"""relay: many members, many lines, and members that do not read, or come and go all the time."""

import hashlib
import os
import selectors
import signal
import socket
import subprocess
import threading

import pytest

from support import PATIENCE, SANITIZED, SLOW, listener, receive, receive_all, reset, wait_for
from ends import meanwhile
from test_relay_hubs import join, read_line

# Beside each other, so that what is sent in all is the same on each machine; TWINED_LINES sets another number.
LINES = int(os.environ.get("TWINED_LINES", "50000" if SANITIZED else "1000000"))
LOAD = os.path.join(os.environ.get("TWINED_BUILD", "."), "tests", "bench", "load")


def load(daemon, **options):
    """Lines by one publisher, every byte of which each reader must get; how many a second in all."""
    port = daemon.port("hub")
    result = subprocess.run([LOAD, "relay", str(port), *(f"{key}={options[key]}" for key in options)],
                            capture_output=True, text=True, timeout=60 + 10 * SLOW)
    assert result.returncode == 0, result.stderr
    return float(dict(word.split("=") for word in result.stdout.split())["lines_per_s"])


def test_one_of_500_members_is_stalled_and_the_others_get_every_line(twined):
    daemon = twined(listener("hub", "relay"))
    before = daemon.rss()
    rate = load(daemon, connections=499, stalled=1, bytes=16, count=LINES, seconds=50)
    assert daemon.rss() - before < (40 << 20 if SANITIZED else 4 << 20)
    alone = load(daemon, connections=499, bytes=16, count=LINES // 4, seconds=50)
    # `make bench` says how near they are; what is here holds on a machine that has other work, too.
    assert rate > alone / 4, f"{rate:.0f} lines a second with a stalled member, {alone:.0f} without"


@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
def test_members_that_one_busy_program_reads_in_turn_get_every_line(twined, size):
    """Each stands still until its turn comes, while others have got all that their systems could take."""
    members, lines = (20, 20000) if SANITIZED else (100, 300000)
    daemon = twined(listener("hub", "relay"))
    text = b"".join(b"%063d\n" % number for number in range(lines))
    digests = {join(daemon, "hub"): hashlib.md5() for _ in range(members)}
    sender, stalled = join(daemon, "hub"), join(daemon, "hub")
    publisher = threading.Thread(target=sender.sendall, args=(text,))
    publisher.start()
    with selectors.DefaultSelector() as selector:
        left = dict.fromkeys(digests, len(text))
        for member in digests:
            selector.register(member, selectors.EVENT_READ)
        while left and (ready := selector.select(PATIENCE)):
            for key, _ in ready:
                data = key.fileobj.recv(size)
                assert data
                digests[key.fileobj].update(data)
                left[key.fileobj] -= len(data)
                if left[key.fileobj] == 0:
                    del left[key.fileobj]
                    selector.unregister(key.fileobj)
    publisher.join()
    assert not left
    assert {digest.digest() for digest in digests.values()} == {hashlib.md5(text).digest()}
    assert stalled.fileno() >= 0


def test_one_that_reads_slowly_without_a_pause_does_not_hold_up_the_others(twined):
    # Room for those who wait, an eighth of the ring, is made in much less than a tick.
    daemon = twined(listener("hub", "relay", buffer="256K"))
    slow, sender = join(daemon, "hub", buffer=1 << 16), join(daemon, "hub")
    readers = [join(daemon, "hub") for _ in range(3)]
    total, got, ended = 32 << 20, [0], threading.Event()

    def read_slowly():
        while not ended.wait(0.003):
            got[0] += len(slow.recv(1 << 14))
    threads = [threading.Thread(target=read_slowly),
               threading.Thread(target=sender.sendall, args=((b"x" * 1023 + b"\n") * (total // 1024),))]
    for thread in threads:
        thread.start()
    received = meanwhile(*[lambda reader=reader: len(receive(reader, total)) for reader in readers])
    # At its pace, they would have everything when it has nearly everything.
    behind = got[0]
    ended.set()
    slow.shutdown(socket.SHUT_RD)
    for thread in threads:
        thread.join()
    assert received == [total] * 3
    assert behind < total // 2, behind


def test_what_a_stalled_member_gets_later_are_whole_lines_and_how_many_it_has_lost(twined):
    daemon = twined(listener("hub", "relay")
                    + listener("stalled", "relay", hub="hub", line_end="crlf", drop_notice="# {n}"))
    stalled = join(daemon, "stalled", buffer=4096)
    load(daemon, connections=20, bytes=16, count=LINES // 2, seconds=30)
    expected, lost = 0, 0
    file = stalled.makefile("rb")
    while expected < LINES // 2:
        line = file.readline()
        assert line.endswith(b"\r\n")
        if line.startswith(b"# "):
            lost += int(line[2:])
            expected += int(line[2:])
        else:
            assert int(line) == expected and len(line) == 17
            expected += 1
    file.close()
    assert lost > 0 or SANITIZED
    reset(stalled)
    if lost > 0:
        assert int(daemon.wait_log(r"(\d+) lines dropped: slow")[1]) == lost


def test_a_stop_does_not_wait_for_a_member_that_is_closed_for_being_slow(twined):
    daemon = twined("[daemon]\nshutdown_timeout = 10m\n"
                    + listener("hub", "relay", buffer="64K", on_slow="close", linger_timeout="10m",
                               write_timeout="10m"))
    stalled = join(daemon, "hub", buffer=4096)
    # More than the system takes for it and the ring holds.
    load(daemon, connections=2, bytes=64, count=100000, seconds=30)
    reader = join(daemon, "hub")
    daemon.signal(signal.SIGTERM)
    assert receive_all(reader) == b""
    reader.close()
    reset(stalled)
    assert daemon.wait() == 0


def test_a_stalled_member_that_is_idle_for_too_long_is_reset_and_not_ended_within_a_line(twined):
    daemon = twined(listener("hub", "relay", role="out", idle_timeout="2s", write_timeout="none")
                    + listener("in", "relay", hub="hub", role="in"))
    stalled, sender = join(daemon, "hub", buffer=4096), daemon.connect("in")
    sender.sendall((b"x" * 8000 + b"\n") * 800)
    daemon.wait_log("idle_timeout")
    with pytest.raises(ConnectionResetError):
        receive_all(stalled)


def test_the_system_holds_little_for_a_member_that_does_not_read(twined):
    daemon = twined(listener("hub", "relay"))
    stalled = [join(daemon, "hub", buffer=4096) for _ in range(3)]
    load(daemon, connections=2, bytes=64, count=100000, seconds=30)
    pairs = {(f":{member.getpeername()[1]:04X}", f":{member.getsockname()[1]:04X}") for member in stalled}
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    held = [int(row[4].split(":")[0], 16) for row in rows if (row[1][-5:], row[2][-5:]) in pairs]
    assert len(held) == len(stalled) and max(held) < 512 << 10, held


def test_all_members_get_the_lines_of_all_publishers_in_one_order(twined):
    daemon = twined(listener("in", "relay", hub="hub", role="in", prefix='"{seq} "')
                    + listener("hub", "relay", role="out"))
    readers, senders = [join(daemon, "hub") for _ in range(6)], [join(daemon, "in") for _ in range(4)]
    count = 5000 if not SANITIZED else 1000

    def send(which, sender):
        text = b"".join(b"%d %d %s\n" % (which, number, b"x" * (number % 50)) for number in range(count))
        for at in range(0, len(text), 997):
            sender.sendall(text[at:at + 997])

    def hear(reader, digests):
        digest, file = hashlib.sha256(), reader.makefile("rb")
        following = [0] * len(senders)
        for number in range(len(senders) * count):
            line = file.readline()
            digest.update(line)
            seq, which, its = line.split()[:3]
            assert int(seq) == number + 1 and int(its) == following[int(which)]
            following[int(which)] += 1
        digests.append(digest.hexdigest())
    digests = []
    threads = [threading.Thread(target=hear, args=(reader, digests)) for reader in readers]
    threads += [threading.Thread(target=send, args=pair) for pair in enumerate(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 3)
    assert len(digests) == len(readers) and len(set(digests)) == 1


def test_a_member_killed_within_a_line_leaves_no_half_of_it(twined):
    daemon = twined(listener("hub", "relay"))
    reader = join(daemon, "hub")
    for number in range(50):
        sender = join(daemon, "hub")
        sender.sendall(b"whole %d\nhalf a li" % number)
        assert read_line(reader) == b"whole %d\n" % number
        reset(sender)
    other = join(daemon, "hub")
    other.sendall(b"end\n")
    assert read_line(reader) == b"end\n"


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_a_publisher_that_goes_while_it_waits_has_said_all(twined, directory, scheme):
    daemon = twined(listener("hub", "relay", f"tcp://127.0.0.1:0, unix://{directory}/s", buffer="64K"))
    reader, sender = join(daemon, "hub", buffer=4096), join(daemon, "hub", scheme)
    text = b"".join(b"%07d\n" % number for number in range(200000))

    def send():
        sender.sendall(text)
        sender.close()
    writer = threading.Thread(target=send)
    writer.start()
    assert receive(reader, len(text)) == text
    writer.join()


def test_members_that_come_and_go_all_the_time_harm_nobody(twined):
    daemon = twined("[daemon]\nlog_level = notice\n" + listener("hub", "relay", history="10"))
    reader, sender = daemon.connect("hub"), daemon.connect("hub")
    sender.sendall(b"first\n")
    assert read_line(reader) == b"first\n"
    ended = threading.Event()
    failures = []

    def storm(which):
        number = 0
        while not ended.is_set():
            member = daemon.connect("hub")
            daemon.sockets.remove(member)
            number += 1
            try:
                if number % 2:
                    # It begins with history, whole lines that follow each other, and goes on with news.
                    lines = member.makefile("rb")
                    got = [lines.readline() for _ in range(15)]
                    numbers = [int(line) for line in got if line not in (b"first\n", b"")]
                    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), got
                    lines.close()
                else:
                    member.sendall(b"half")
                reset(member)
            except (OSError, AssertionError) as error:
                failures.append(error)
                return
    storms = [threading.Thread(target=storm, args=(which,)) for which in range(4)]
    for thread in storms:
        thread.start()
    count = 20000 if not SANITIZED else 4000
    texts = []
    for start in range(0, count, 50):
        batch = b"".join(b"%d\n" % number for number in range(start, start + 50))
        sender.sendall(batch)
        texts.append((batch, receive(reader, len(batch))))
    ended.set()
    stopper = threading.Event()

    def keep_talking():		# so that nobody waits for news
        number = count
        while not stopper.wait(0.01):
            sender.sendall(b"%d\n" % number)
            number += 1
    talker = threading.Thread(target=keep_talking)
    talker.start()
    for thread in storms:
        thread.join(PATIENCE)
    stopper.set()
    talker.join()
    assert not failures, failures
    assert all(sent == got for sent, got in texts)


def test_history_at_join_while_lines_are_published(twined):
    daemon = twined("[daemon]\nlog_level = notice\n" + listener("hub", "relay", history="1000"))
    sender = daemon.connect("hub")
    count = 30000 if not SANITIZED else 6000
    writer = threading.Thread(target=lambda: [sender.sendall(b"%d\n" % n) for n in range(count)])
    writer.start()
    for _ in range(30):
        member = daemon.connect("hub")
        lines = member.makefile("rb")
        following = int(lines.readline())
        for _ in range(500):
            if following + 1 >= count:
                break
            assert int(lines.readline()) == following + 1
            following += 1
        lines.close()
        reset(member)
    writer.join(PATIENCE)
    # Some of it may still be on its way when the last one joins.
    late, got = daemon.connect("hub").makefile("rb"), []
    while not got or got[-1] < count - 1:
        got.append(int(late.readline()))
    assert len(got) >= 1000 and got == list(range(got[0], count))
    late.close()


def test_two_members_that_send_much_and_read_later_do_not_block_each_other(twined):
    daemon = twined(listener("hub", "relay", "tcp://127.0.0.1:0", buffer="64K", write_timeout="1h"))
    members = [join(daemon, "hub", buffer=4096) for _ in range(2)]
    text = b"x" * 99 + b"\n"

    def send(member):
        for _ in range(20000):
            member.sendall(text)
    threads = [threading.Thread(target=send, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    # Each has lost lines of the other, which never read; who is done sending reads.
    def drain(thread, member):
        thread.join(PATIENCE)
        member.settimeout(0.2)
        while True:
            try:
                if not member.recv(1 << 20):
                    return
            except TimeoutError:
                if not any(thread.is_alive() for thread in threads):
                    return
    readers = [threading.Thread(target=drain, args=pair) for pair in zip(threads, members)]
    for reader in readers:
        reader.start()
    for thread in (*threads, *readers):
        thread.join(PATIENCE * 2)
        assert not thread.is_alive()


def test_when_all_members_are_stalled_write_timeout_ends_it(twined):
    daemon = twined(listener("hub", "relay", buffer="64K", write_timeout="1s"))
    join(daemon, "hub", buffer=4096)
    sender = join(daemon, "hub")
    text = b"x" * 99 + b"\n"
    writer = threading.Thread(target=lambda: [sender.sendall(text * 100) for _ in range(2000)])
    writer.start()
    daemon.wait_log(": closed: write_timeout", seconds=3 * PATIENCE)
    writer.join(PATIENCE * 2)
    assert not writer.is_alive()


def test_on_slow_close_closes_a_member_that_nobody_waits_for(twined):
    daemon = twined(listener("hub", "relay", buffer="64K", on_slow="close"))
    stalled, reader, sender = join(daemon, "hub", buffer=4096), join(daemon, "hub"), join(daemon, "hub")
    text = b"".join(b"%09d\n" % number for number in range(1000000))
    writer = threading.Thread(target=lambda: sender.sendall(text))
    writer.start()
    assert receive(reader, len(text)) == text
    writer.join()
    got = receive_all(stalled)
    assert text.startswith(got) and got.endswith(b"\n")
    stalled.close()
    wait_for(lambda: daemon.lines(": closed: too_slow"), "it is closed")
