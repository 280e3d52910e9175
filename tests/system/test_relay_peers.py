"""relay: programs that people have are its members."""

import os
import pty
import select
import shutil
import subprocess
import tty

import pytest

from support import PATIENCE, listener, wait_for
from test_relay_hubs import join, read_line


@pytest.fixture
def program():
    """Starts a program, which is killed at the test's end."""
    started = []

    def start(*command, **options):
        assert shutil.which(command[0]), f"{command[0]} is missing: ./bootstrap installs it"
        process = subprocess.Popen(command, **options)
        started.append(process)
        return process
    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


def joined(daemon, count):
    wait_for(lambda: len(daemon.lines(": open")) == count, "all have joined")


def netcat(program, *command):
    return program(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


@pytest.mark.parametrize("command", [["nc"], ["ncat"]])
def test_netcats_talk_to_each_other(twined, program, command):
    daemon = twined(listener("hub", "relay"))
    one, two = (netcat(program, *command, "127.0.0.1", str(daemon.port("hub"))) for _ in range(2))
    joined(daemon, 2)
    one.stdin.write(b"hello\n")
    assert two.stdout.readline() == b"hello\n"
    two.stdin.write(b"hello yourself\n")
    assert one.stdout.readline() == b"hello yourself\n"


@pytest.mark.parametrize("command", [["nc", "-N"], ["ncat"]])
def test_a_line_piped_through_a_netcat_reaches_everybody(twined, program, command):
    daemon = twined(listener("hub", "relay") + listener("in", "relay", hub="hub", role="in"))
    member = join(daemon, "hub")
    # A section that only takes lines in ends the connection once it has them.
    sender = netcat(program, *command, "127.0.0.1", str(daemon.port("in")))
    sender.stdin.write(b"piped")
    sender.stdin.close()
    assert read_line(member) == b"piped\n"
    assert sender.wait(PATIENCE) == 0


def test_netcat_sends_datagrams(twined, program):
    daemon = twined(listener("hub", "relay", "tcp://127.0.0.1:0, udp://127.0.0.1:0"))
    member = join(daemon, "hub")
    sender = netcat(program, "nc", "-u", "127.0.0.1", str(daemon.port("hub", "udp")))
    sender.stdin.write(b"datagram\n")
    assert read_line(member) == b"datagram\n"


def test_socat_joins_with_a_terminal(twined, program):
    """What a serial console is to a hub: a terminal whose other end is a program's."""
    daemon = twined(listener("hub", "relay", line_end="crlf"))
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        program("socat", f"OPEN:{os.ttyname(slave)},rawer", f"TCP:127.0.0.1:{daemon.port('hub')}")
        joined(daemon, 1)
        member = join(daemon, "hub")
        os.write(master, b"login: root\r\n")
        assert read_line(member) == b"login: root\r\n"
        member.sendall(b"date\n")
        got = b""
        while not got.endswith(b"\n"):
            assert select.select([master], [], [], PATIENCE)[0], f"only {got} came"
            got += os.read(master, 100)
        assert got == b"date\r\n"
    finally:
        os.close(master)
        os.close(slave)


def log(daemon, *options, scheme):
    command = ["logger", "-n", "127.0.0.1", "-P", str(daemon.port("hub", scheme)), *options, "-t", "test",
               "--", "something happened"]
    assert shutil.which("logger"), "logger is missing: ./bootstrap installs it"
    subprocess.run(command, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("scheme, option", [("tcp", "-T"), ("udp", "-d")])
def test_logger_sends_to_a_hub(twined, scheme, option):
    daemon = twined(listener("hub", "relay", "tcp://127.0.0.1:0, udp://127.0.0.1:0"))
    member = join(daemon, "hub")
    log(daemon, option, scheme=scheme)
    line = read_line(member)
    assert line.endswith(b"something happened\n") and line.startswith(b"<13>")


def test_logger_and_a_filter(twined):
    daemon = twined(listener("hub", "relay", "tcp://127.0.0.1:0", role="in", filter="/^<1?[0-3]>/")
                    + listener("watch", "relay", hub="hub", role="out"))
    member = join(daemon, "watch")
    for priority in ("user.debug", "user.err", "kern.info", "user.crit"):
        log(daemon, "-T", "-p", priority, scheme="tcp")
    lines = sorted([read_line(member)[:4], read_line(member)[:4]])
    assert lines == [b"<10>", b"<11>"]
