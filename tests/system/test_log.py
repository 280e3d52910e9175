"""The log and the signals: one event a line, nothing forged, a summary when asked."""

import os
import re
import signal
import socket
import subprocess

import pytest

from support import PATIENCE, TWINED, exchange, listener, receive, reset, wait_for


def test_a_connection_has_an_open_and_a_close_line(twined):
    daemon = twined(listener("echo", "echo"))
    client = daemon.connect("echo")
    peer = "tcp://127.0.0.1:%d" % client.getsockname()[1]
    assert exchange(client, b"hello") == b"hello"
    daemon.wait_closed(client, "peer_closed")
    place = re.escape(f"echo {daemon.address('echo')}: {peer}: ")
    assert len(daemon.lines(place + "open$")) == 1
    assert len(daemon.lines(place + r"closed: peer_closed, 5 bytes in, 5 out, \d+\.\d+ s$")) == 1


def test_start_and_stop_are_said(twined):
    daemon = twined(listener("echo", "echo"))
    daemon.stop()
    assert daemon.lines("notice: echo tcp://127.0.0.1:[1-9][0-9]*: echo listening$")
    assert daemon.lines("notice: stopping$") and daemon.log[-1].endswith("notice: stopped")


def test_ipv6_and_unix_addresses_are_written_as_in_the_file(twined, directory):
    daemon = twined(listener("echo", "echo", f"tcp://[::1]:0, unix://{directory}/s"))
    for scheme in ("tcp", "unix"):
        client = daemon.connect("echo", scheme)
        client.sendall(b"hi")
        assert receive(client, 2) == b"hi"
    daemon.wait_log(r"echo tcp://\[::1\]:\d+: tcp://\[::1\]:\d+: open$")
    daemon.wait_log(rf"echo unix://{directory}/s: unix://\S*: open$")


def test_bytes_of_a_unix_peers_name_cannot_forge_a_line(twined, directory):
    daemon = twined(listener("hub", "relay", f"unix://{directory}/s, unixgram://{directory}/d",
                             prefix="<{peer}> "), args=["-vv"])
    with socket.socket(socket.AF_UNIX) as client:
        client.bind(b"\0evil\ntwined: error: forged\x1b[31m\xff")
        client.connect(f"{directory}/s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gram:
            gram.bind(b"\0gram\ntwined: error: forged\x1b")
            gram.sendto(b"line\n", f"{directory}/d")
            text = client.recv(1000)
    daemon.wait_log("closed: |open")
    daemon.stop()
    assert text.endswith(b"line\n") and text.count(b"\n") == 1
    for line in daemon.log:
        assert all(0x20 <= ord(character) <= 0x7e for character in line), line
        assert not line.startswith("twined: error")


@pytest.mark.parametrize("data", [b"\0" * 100, b"\ntwined: error: forged\n", b"\x1b[2J\r\n" * 50])
def test_what_a_peer_sends_never_reaches_the_log(twined, data):
    daemon = twined("".join(listener(name, name) for name in ("echo", "relay", "discard")),
                    args=["-vvv"])
    for name in ("echo", "relay", "discard"):
        client = daemon.connect(name)
        client.sendall(data)
        reset(client)
    wait_for(lambda: len(daemon.lines(": closed: ")) == 3, "all closed")
    assert not daemon.lines("forged|\x1b|\0")


def test_usr1_logs_a_summary_line_for_every_listener(twined):
    daemon = twined("[daemon]\nthreads = 2\n" + listener("echo", "echo")
                    + listener("day", "daytime", "udp://127.0.0.1:0")
                    + listener("quiet", "discard"))
    keep = daemon.connect("echo")
    keep.sendall(b"abc")
    assert receive(keep, 3) == b"abc"
    client = daemon.connect("echo")
    assert exchange(client, b"hello") == b"hello"
    daemon.wait_closed(client, "peer_closed")
    client = daemon.connect("day", "udp")
    client.send(b"")
    client.recv(100)
    since = len(daemon.log)
    daemon.signal(signal.SIGUSR1)
    line = daemon.wait_log("(echo: .*)", since)[1]
    for part in ("1 open", "2 accepted", "8 bytes in", "8 out", "peer_closed 1"):
        assert re.search(rf"\b{part}\b", line), (part, line)
    line = daemon.wait_log("(day: .*)", since)[1]
    assert "1 datagrams in, 1 out" in line
    assert "0 accepted" in daemon.wait_log("(quiet: .*)", since)[1]


def test_usr1_counts_what_was_refused_and_not_answered(twined):
    daemon = twined(listener("echo", "echo", "tcp://127.0.0.1:0, udp://127.0.0.1:0",
                             deny="127.0.0.2"))
    client = daemon.connect("echo", source="127.0.0.2")
    assert client.recv(1) == b""
    daemon.connect("echo", "udp", source="127.0.0.2").send(b"?")
    client = daemon.connect("echo", "udp")
    client.send(b"?")
    assert client.recv(1) == b"?"
    since = len(daemon.log)
    daemon.signal(signal.SIGUSR1)
    line = daemon.wait_log("(echo: .*)", since)[1]
    assert len(re.findall(r"denied 1\b", line)) == 2


@pytest.mark.parametrize("number", ["SIGPIPE", "SIGUSR1", "SIGHUP", "SIGWINCH"])
def test_signals_that_are_not_a_stop_do_not_stop_it(twined, number):
    daemon = twined(listener("echo", "echo"))
    for _ in range(20):
        daemon.signal(getattr(signal, number))
    client = daemon.connect("echo")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"


def test_a_peer_that_goes_in_the_midst_of_an_answer_harms_nothing(twined):
    daemon = twined(listener("gen", "chargen") + listener("echo", "echo"))
    for _ in range(50):
        client = daemon.connect("gen")
        client.recv(10)
        reset(client)
    client = daemon.connect("echo")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"


@pytest.mark.parametrize("journal", [True, False])
def test_the_journals_stream_is_detected(directory, journal):
    """A stderr that is the journal's gets priorities; another one is not mistaken for it."""
    with open(f"{directory}/stderr", "wb") as stderr:
        status = os.fstat(stderr.fileno())
        stream = f"{status.st_dev}:{status.st_ino}" if journal else f"{status.st_dev}:1"
        process = subprocess.Popen([TWINED, "-L", f"echo unix://{directory}/s"], stderr=stderr,
                                   env={**os.environ, "JOURNAL_STREAM": stream})
    wait_for(lambda: os.path.getsize(f"{directory}/stderr") > 0, "it speaks")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    with open(f"{directory}/stderr", encoding="ascii") as file:
        lines = file.read().splitlines()
    for line in lines:
        assert bool(re.match("<[3-7]>(?!twined: )", line)) == journal, line
    assert any("listening" in line for line in lines)


def accepts(path):
    """Whether somebody listens at a path: the socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def test_a_log_that_nobody_reads_does_not_stop_it(twined, directory):
    read, write = os.pipe()
    os.set_blocking(write, True)
    process = subprocess.Popen([TWINED, "-L", f"echo unix://{directory}/s"], stderr=write)
    os.close(write)
    wait_for(lambda: accepts(f"{directory}/s"), "it listens")
    os.close(read)			# every further line is an EPIPE
    try:
        for _ in range(50):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(f"{directory}/s")
                client.sendall(b"hi")
                assert receive(client, 2) == b"hi"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
