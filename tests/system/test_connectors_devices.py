"""connector: serial ports, FIFOs, files and datagrams."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import stat
import struct
import termios
import threading
import time

import pytest

from support import PATIENCE, free_address, receive, socket_address, wait_for
from test_connectors import connector, hub, join, read_line, remote	# the last is a fixture


def read_device(fd, length):
    """Exactly so many bytes of a descriptor."""
    data = b""
    while len(data) < length:
        part = os.read(fd, length - len(data))
        assert part, f"ended after {data!r}"
        data += part
    return data


def unread(fd):
    """How many bytes a descriptor has to be read."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


def connected(daemon, path, since=0):
    daemon.wait_log(rf"notice: up file://{path}: connected$", since)


@pytest.fixture
def terminal():
    """Both ends of a pseudo-terminal: the descriptor of the far one, the path of the near one."""
    far, near = pty.openpty()
    path = os.ttyname(near)
    yield far, path
    for fd in (far, near):
        with contextlib.suppress(OSError):
            os.close(fd)


def test_a_serial_port_goes_both_ways(twined, terminal):
    far, path = terminal
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", line_end="crlf"))
    connected(daemon, path)
    member = join(daemon)
    os.write(far, b"from the port\r\n")
    assert read_line(member) == b"from the port\n"
    member.sendall(b"to the port\x03\x11\x13\n")
    assert read_device(far, 16) == b"to the port\x03\x11\x13\r\n"


def test_a_serial_port_is_raw_and_has_its_speed(twined, terminal):
    far, path = terminal
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", baud="57600"))
    connected(daemon, path)
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NOCTTY)) as near:
        iflag, oflag, cflag, lflag, in_speed, out_speed, _ = termios.tcgetattr(near)
    assert (in_speed, out_speed) == (termios.B57600, termios.B57600)
    assert cflag & termios.CSIZE == termios.CS8 and cflag & termios.CLOCAL and cflag & termios.CREAD
    assert not cflag & (termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
    assert not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert not iflag & (termios.IXON | termios.ICRNL) and not oflag & termios.OPOST


def test_a_serial_port_that_goes_and_comes_is_opened_again(twined, directory):
    path = os.path.join(directory, "port")
    far, near = pty.openpty()
    os.symlink(os.ttyname(near), path)
    os.close(near)
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub"))
    connected(daemon, path)
    member = join(daemon)
    os.close(far)
    os.unlink(path)
    daemon.wait_log(rf"warning: up file://{path}: lost: (Input/output error|end of file), after")
    daemon.wait_log(rf"up file://{path}: No such file or directory; again in")
    since = len(daemon.log)
    far, near = pty.openpty()
    os.symlink(os.ttyname(near), path)
    connected(daemon, path, since)
    os.write(far, b"back\n")
    assert read_line(member) == b"back\n"
    os.close(far)
    os.close(near)


def test_a_serial_port_that_takes_nothing_stops_nobody(twined, terminal):
    _, path = terminal
    daemon = twined(hub(buffer="64K", max_line="1K")
                    + connector("up", f"file://{path}", hub="hub", role="out", buffer="64K", max_line="1K",
                                linger_timeout="500ms"))
    connected(daemon, path)
    writer, reader = join(daemon), join(daemon)
    lines = b"".join(b"line %06d\n" % n for n in range(40000))
    threading.Thread(target=writer.sendall, args=(lines,), daemon=True).start()
    assert receive(reader, len(lines)) == lines
    before = daemon.cpu_time()
    time.sleep(0.5)
    assert daemon.cpu_time() - before < 0.25


def test_a_line_that_a_serial_port_did_not_get_whole_ends_there(twined, terminal):
    far, path = terminal
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out",
                                      write_timeout="300ms"))
    connected(daemon, path)
    member = join(daemon)
    member.sendall(b"".join(b"<%0100d>\n" % n for n in range(1000)))
    daemon.wait_log(rf"up file://{path}: lost: write_timeout, after")
    wait_for(lambda: len(daemon.lines(": connected")) == 2, "connected again")
    got = b""
    while b"last\n" not in got:
        member.sendall(b"last\n")
        if select.select([far], [], [], 0.05)[0]:
            got += os.read(far, 1 << 16)
    *lines, cut, rest = got.split(b"last\n")[0].split(b"\n")
    assert rest == b""
    assert lines == [b"<%0100d>" % n for n in range(len(lines))]
    assert (b"<%0100d>" % len(lines)).startswith(cut)


def test_a_fifo_is_read_whoever_writes_it(twined, directory):
    path = os.path.join(directory, "fifo")
    os.mkfifo(path)
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="in"))
    connected(daemon, path)
    member = join(daemon)
    for n in range(5):
        with open(path, "wb") as fifo:
            fifo.write(b"line %d\n" % n)
        assert read_line(member) == b"line %d\n" % n
    assert len(daemon.lines(": connected")) == 1


def test_a_line_that_a_reload_cuts_in_a_fifo_is_left_out(twined, directory):
    path = os.path.join(directory, "fifo")
    os.mkfifo(path)
    config = hub() + connector("up", f"file://{path}", hub="hub", role="in")
    daemon = twined(config)
    connected(daemon, path)
    member = join(daemon)
    fifo = os.open(path, os.O_RDWR)
    os.write(fifo, b"whole\nbegi")
    assert read_line(member) == b"whole\n"
    since = len(daemon.log)
    assert daemon.reload(config + "prefix = new:\n").returncode == 0
    connected(daemon, path, since)
    os.write(fifo, b"n")
    wait_for(lambda: not unread(fifo), "it is read alone")
    os.write(fifo, b"\nnext\n")
    assert read_line(member) == b"new:next\n"
    os.close(fifo)


def test_another_fifo_is_read_from_its_first_line(twined, directory):
    one, two = os.path.join(directory, "one"), os.path.join(directory, "two")
    os.mkfifo(one)
    os.mkfifo(two)
    first, second = os.open(one, os.O_RDWR), os.open(two, os.O_RDWR)
    daemon = twined(hub() + connector("up", f"file://{one}", hub="hub", role="in"))
    connected(daemon, one)
    member = join(daemon)
    os.write(first, b"whole\nbegi")
    assert read_line(member) == b"whole\n"
    assert daemon.reload(hub() + connector("up", f"file://{two}", hub="hub", role="in")).returncode == 0
    connected(daemon, two)
    os.write(second, b"another\n")
    assert read_line(member) == b"another\n"
    os.close(first)
    os.close(second)


def test_a_fifo_is_written_by_one_connection_at_a_time(twined, directory):
    path = os.path.join(directory, "fifo")
    os.mkfifo(path)
    # It holds all: the connection does not read, and is not to lose any.
    config = hub(buffer="4M") + connector("up", f"file://{path}", hub="hub", role="out",
                                          buffer="4M")
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    daemon = twined(config)
    connected(daemon, path)
    member = join(daemon)
    for n in range(20000):
        member.sendall(b"%099d\n" % n)
    since = len(daemon.log)
    assert daemon.reload(config + "connect_timeout = 9s\n").returncode == 0
    daemon.wait_log(rf"notice: up file://{path}: waits until nobody writes there any more$", since)
    assert len(daemon.lines(": connected$")) == 1
    got, last = b"", 0
    while not got.endswith(b"the last\n"):
        with contextlib.suppress(BlockingIOError):
            got += os.read(fifo, 65536)
        if len(daemon.lines(": connected$")) == 2 and not last:
            last = member.sendall(b"the last\n") or 1
        time.sleep(0.001)
    os.close(fifo)
    lines = got.splitlines(True)
    assert all(len(line) == 100 for line in lines[:-1])
    numbers = [int(line) for line in lines[:-1]]
    assert numbers == list(range(len(numbers)))
    connected(daemon, path, since)


@pytest.mark.parametrize("end", ["reload", "stop"])
def test_what_has_been_read_of_a_fifo_is_not_lost(twined, directory, end):
    path = os.path.join(directory, "fifo")
    os.mkfifo(path)
    config = hub(buffer="64K")
    daemon = twined(config + connector("up", f"file://{path}", hub="hub", role="in",
                                       buffer="64K"))
    connected(daemon, path)
    member = daemon.connect("hub", buffer=1 << 14)
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    written, quiet = 0, 0
    while quiet < 10:
        with contextlib.suppress(BlockingIOError):
            written += os.write(fifo, (b"%063d\n" % (written // 64))[written % 64:])
            quiet = 0
            continue
        quiet += 1
        time.sleep(0.05)
    text = b"".join(b"%063d\n" % n for n in range(written // 64 + 1))[:written]
    if end == "reload":
        assert daemon.reload(config + connector("up", f"file://{path}", hub="hub", role="in",
                                                buffer="64K", reconnect_max="9s")).returncode == 0
    else:
        daemon.signal(signal.SIGTERM)
        daemon.wait_state("STOPPING=1")
    got = b""
    while len(got) < len(text):
        piece = member.recv(65536)
        if not piece:
            break
        got += piece
    if end == "stop":
        assert daemon.wait() == 0
        with contextlib.suppress(BlockingIOError):
            while True:
                got += os.read(fifo, 65536)
    os.close(fifo)
    # A line of which a part was read is left out.
    assert got.replace(b"\n", b"") == text.replace(b"\n", b"")


def test_a_fifo_that_nobody_reads_is_tried_again(twined, directory):
    path = os.path.join(directory, "fifo")
    os.mkfifo(path)
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out"))
    daemon.wait_log(rf"warning: up file://{path}: nobody reads it; again in")
    member = join(daemon)
    with open(path, "rb", buffering=0) as fifo:
        connected(daemon, path)
        member.sendall(b"line\n")
        assert fifo.read(5) == b"line\n"
    daemon.wait_log(rf"warning: up file://{path}: lost: Broken pipe, after")
    with open(path, "rb", buffering=0) as fifo:
        wait_for(lambda: len(daemon.lines(": connected")) == 2, "connected again")
        member.sendall(b"again\n")
        assert fifo.read(6) == b"again\n"


@pytest.mark.parametrize("kind", ["fifo", "file", "directory", "socket"])
def test_what_cannot_go_both_ways_is_told(twined, directory, kind):
    path = os.path.join(directory, kind)
    sock = socket.socket(socket.AF_UNIX)
    {"fifo": os.mkfifo, "file": lambda name: open(name, "wb").close(), "directory": os.mkdir,
     "socket": sock.bind}[kind](path)
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub"))
    daemon.wait_log({"fifo": r": is a FIFO, which goes one way only: expected role = in or out; again",
                     "file": r": is a regular file, which goes one way only: expected role = in or out; again"}
                    .get(kind, ": is neither a character device nor a FIFO nor a regular file; again"))
    sock.close()


def contents(path):
    with contextlib.suppress(FileNotFoundError):
        with open(path, "rb") as file:
            return file.read()
    return None


def test_a_file_is_appended_to_and_made(twined, directory):
    path = os.path.join(directory, "log")
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out"))
    connected(daemon, path)
    member = join(daemon)
    member.sendall(b"one\n")
    wait_for(lambda: contents(path) == b"one\n", "the line is there")
    assert stat.S_IMODE(os.stat(path).st_mode) & ~0o640 == 0
    daemon.stop()
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out"))
    connected(daemon, path)
    join(daemon).sendall(b"two\n")
    wait_for(lambda: contents(path) == b"one\ntwo\n", "both are there")


def test_a_line_that_a_file_ends_inside_of_is_ended_first(twined, directory):
    path = os.path.join(directory, "log")
    with open(path, "wb") as file:
        file.write(b"one\n37")
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out"))
    connected(daemon, path)
    join(daemon).sendall(b"600 xxx\n")
    wait_for(lambda: contents(path) == b"one\n37\n600 xxx\n", "the line is there")


def test_a_file_that_is_rotated_is_made_anew(twined, directory):
    path = os.path.join(directory, "log")
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out"))
    connected(daemon, path)
    member = join(daemon)
    member.sendall(b"one\n")
    wait_for(lambda: contents(path) == b"one\n", "the first line is there")
    os.rename(path, path + ".1")
    member.sendall(b"two\n")
    wait_for(lambda: contents(path) == b"two\n", "the second line is there")
    assert contents(path + ".1") == b"one\n"


def test_all_that_a_file_is_owed_is_written_at_a_stop(twined, directory):
    path = os.path.join(directory, "log")
    daemon = twined(hub() + connector("up", f"file://{path}", hub="hub", role="out"))
    connected(daemon, path)
    member, reader = join(daemon), join(daemon)
    lines = b"".join(b"line %06d\n" % n for n in range(50000))
    writer = threading.Thread(target=member.sendall, args=(lines,))
    writer.start()
    assert receive(reader, len(lines)) == lines
    writer.join()
    daemon.stop()
    assert contents(path) == lines


def test_a_file_is_followed(twined, directory):
    path = os.path.join(directory, "log")
    with open(path, "wb") as file:
        file.write(b"one\ntwo\n")
    daemon = twined(hub(history=10) + connector("up", f"file://{path}", hub="hub", role="in"))
    connected(daemon, path)
    member = join(daemon)
    assert [read_line(member), read_line(member)] == [b"one\n", b"two\n"]
    with open(path, "ab") as file:
        file.write(b"three\n")
    assert read_line(member) == b"three\n"
    with open(path, "wb") as file:
        file.write(b"new\n")
    assert read_line(member) == b"new\n"
    os.rename(path, path + ".1")
    with open(path + ".1", "ab") as file:
        file.write(b"late\n")
    assert read_line(member) == b"late\n"
    with open(path, "wb") as file:
        file.write(b"other\n")
    assert read_line(member) == b"other\n"


def test_a_line_that_the_end_of_a_followed_file_cuts_ends_there(twined, directory):
    path = os.path.join(directory, "log")
    with open(path, "wb") as file:
        file.write(b"one\nabc")
    daemon = twined(hub(history=10) + connector("up", f"file://{path}", hub="hub", role="in"))
    connected(daemon, path)
    member = join(daemon)
    assert read_line(member) == b"one\n"
    os.rename(path, path + ".1")
    with open(path, "wb") as file:
        file.write(b"new\ndef")
    assert [read_line(member), read_line(member)] == [b"abc\n", b"new\n"]
    with open(path, "wb") as file:
        file.write(b"last\n")
    assert [read_line(member), read_line(member)] == [b"def\n", b"last\n"]


def test_a_file_is_called_by_its_path(twined, directory):
    path = os.path.join(directory, "log")
    with open(path, "wb") as file:
        file.write(b"one\n" + b"x" * 200 + b"\n")

    def up(**keys):
        return hub(history=10) + connector("up", f"file://{path}", hub="hub", role="in",
                                           prefix="{peer}|", max_line=100, **keys)
    daemon = twined(up())
    connected(daemon, path)
    assert read_line(join(daemon)) == b"file://%s|one\n" % path.encode()
    assert daemon.reload(up(enabled="no")).returncode == 0
    daemon.wait_log(rf"info: up: file://{path}: 0 lines dropped: slow, 1 lines too long$")


def test_a_long_file_is_read_whole(twined, directory):
    path = os.path.join(directory, "log")
    lines = b"".join(b"line %06d\n" % n for n in range(200000))
    with open(path, "wb") as file:
        file.write(lines)
    daemon = twined(hub() + connector("up", f"file://{path}", enabled="no", hub="hub", role="in"))
    member = join(daemon)
    assert daemon.reload(hub() + connector("up", f"file://{path}", hub="hub", role="in")).returncode == 0
    assert receive(member, len(lines)) == lines


def test_a_file_is_not_read_again_when_a_key_changes(twined, directory):
    path = os.path.join(directory, "log")
    with open(path, "wb") as file:
        file.write(b"one\n")
    daemon = twined(hub(history=10) + connector("up", f"file://{path}", hub="hub", role="in"))
    connected(daemon, path)
    member = join(daemon)
    assert read_line(member) == b"one\n"
    changed = connector("up", f"file://{path}", hub="hub", role="in", prefix="new:")
    assert daemon.reload(hub(history=10) + changed).returncode == 0
    with open(path, "ab") as file:
        file.write(b"two\n")
    assert read_line(member) == b"new:two\n"


def test_a_reload_loses_no_line_of_a_file_that_is_read_at_a_pace(twined, directory):
    path = os.path.join(directory, "log")
    lines = [b"line %06d\n" % n for n in range(20000)]
    with open(path, "wb") as file:
        file.write(b"".join(lines))

    def up(**keys):
        return hub() + connector("up", f"file://{path}", hub="hub", role="in", **keys)
    daemon = twined(up(enabled="no"))
    member = join(daemon)
    got = b""
    for rate in ("1000/s", "2000/s", "none"):
        assert daemon.reload(up(line_rate=rate)).returncode == 0
        got += read_line(member)		# and many more are on their way
    while lines[-1] not in got:
        got += member.recv(1 << 16)
    assert got.splitlines(True) == lines


def test_other_devices(twined):
    daemon = twined(hub() + connector("up", "file:///dev/null", hub="hub", role="out")
                    + connector("down", "file:///dev/null", hub="hub", role="in"))
    connected(daemon, "/dev/null")
    member = join(daemon)
    member.sendall(b"line\n" * 1000)
    other = join(daemon)
    member.sendall(b"last\n")
    while read_line(other) != b"last\n":
        pass


@pytest.fixture
def datagrams(directory):
    """A socket that receives: datagrams("udp") or ("unixgram"), and its address."""
    sockets = []

    def start(scheme, address=None):
        family, _, where = socket_address(address or {"udp": "udp://127.0.0.1:0",
                                                      "unixgram": f"unixgram://{directory}/far"}[scheme])
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        sockets.append(receiver)
        receiver.settimeout(PATIENCE)
        receiver.bind(where)
        name = receiver.getsockname()
        return receiver, f"{scheme}://{name}" if scheme == "unixgram" else f"udp://127.0.0.1:{name[1]}"
    yield start
    for one in sockets:
        one.close()


@pytest.mark.parametrize("scheme", ["udp", "unixgram"])
def test_each_line_is_a_datagram(twined, datagrams, scheme):
    receiver, address = datagrams(scheme)
    daemon = twined(hub() + connector("up", address, hub="hub", role="out", line_end="crlf"))
    daemon.wait_log(": connected")
    member = join(daemon)
    member.sendall(b"one\ntwo\n\n" + b"x" * 8000 + b"\nunterminated")
    member.shutdown(socket.SHUT_WR)
    for line in (b"one", b"two", b"", b"x" * 8000, b"unterminated"):
        assert receiver.recv(65536) == line + b"\r\n"


def test_many_lines_are_many_datagrams_in_order(twined, datagrams):
    receiver, address = datagrams("unixgram")	# which loses none
    daemon = twined(hub() + connector("up", address, hub="hub", role="out"))
    daemon.wait_log(": connected")
    member = join(daemon)
    count = 5000
    writer = threading.Thread(target=member.sendall,
                              args=(b"".join(b"line %d\n" % n for n in range(count)),))
    writer.start()
    for n in range(count):
        assert receiver.recv(65536) == b"line %d\n" % n
    writer.join()


def test_a_full_socket_does_not_keep_us_busy(twined, datagrams):
    _, address = datagrams("unixgram")
    daemon = twined(hub() + connector("up", address, hub="hub", role="out", linger_timeout="300ms"))
    daemon.wait_log(": connected")
    member, reader = join(daemon), join(daemon)
    lines = b"line\n" * 20000
    threading.Thread(target=member.sendall, args=(lines,), daemon=True).start()
    assert receive(reader, len(lines)) == lines
    before = daemon.cpu_time()
    time.sleep(0.5)
    assert daemon.cpu_time() - before < 0.25


def test_a_port_that_refuses_is_a_loss_and_tried_again(twined, datagrams):
    address = free_address().replace("tcp", "udp")
    daemon = twined(hub() + connector("up", address, hub="hub", role="out", reconnect_min="100ms"))
    daemon.wait_log(": connected")
    member = join(daemon)
    member.sendall(b"lost\n")
    daemon.wait_log(rf"warning: up {address}: lost: Connection refused, after .*; again in")
    receiver, _ = datagrams("udp", address)
    wait_for(lambda: len(daemon.lines(": connected")) >= 2, "it goes on")
    member.sendall(b"line\n")
    assert receiver.recv(100) == b"line\n"
    assert len(daemon.lines("lost:")) == 1


def test_a_unix_receiver_that_is_not_there_is_tried_again(twined, datagrams, directory):
    address = f"unixgram://{directory}/far"
    daemon = twined(hub() + connector("up", address, hub="hub", role="out"))
    daemon.wait_log(rf"warning: up {address}: No such file or directory; again in")
    receiver, _ = datagrams("unixgram")
    daemon.wait_log(": connected")
    join(daemon).sendall(b"line\n")
    assert receiver.recv(100) == b"line\n"


def test_a_line_that_no_datagram_holds_is_left_out(twined, datagrams):
    receiver, address = datagrams("udp")
    daemon = twined(hub(max_line="64K") + connector("up", address, hub="hub", role="out"))
    daemon.wait_log(": connected")
    member = join(daemon)
    member.sendall(b"x" * 65535 + b"\nshort\n")
    assert receiver.recv(65536) == b"short\n"
    daemon.wait_log("warning: up: a line of 65536 bytes is too long for a datagram$")


def test_what_comes_back_is_dropped(twined, datagrams):
    receiver, address = datagrams("udp")
    daemon = twined(hub() + connector("up", address, hub="hub", role="out"))
    daemon.wait_log(": connected")
    member, reader = join(daemon), join(daemon)
    member.sendall(b"ask\n")
    assert read_line(reader) == b"ask\n"
    _, back = receiver.recvfrom(100)
    receiver.sendto(b"answer\n", back)
    member.sendall(b"more\n")
    assert receiver.recv(100) == b"more\n"
    assert read_line(reader) == b"more\n"


def test_it_fails_over_from_a_stream_to_a_file(twined, directory, remote):
    path, far = os.path.join(directory, "spool"), remote()
    daemon = twined(hub() + connector("up", f"{far.address}, file://{path}", hub="hub", role="out",
                                      reconnect_min="1h", reconnect_max="1h"))
    far.accept().close()
    far.close()
    connected(daemon, path)
    join(daemon).sendall(b"kept\n")
    wait_for(lambda: contents(path) == b"kept\n", "the line is in the file")
