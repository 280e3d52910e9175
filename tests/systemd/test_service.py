"""twined as a service: what contract and unit promise, as systemctl, journalctl and clients see."""

import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

from conftest import (DEADLINE_S, INI, UNIT, Freeze, ask, connect, echo, journal_text, read_all,
                      systemctl, wait_until)

ECHO = ("127.0.0.1", 7)
OTHER = ("127.0.0.1", 7008)
RUN = "/run/twined/echo.sock"

ECHO_INI = f"""\
[listener:echo]
listen   = tcp://127.0.0.1:7, udp://127.0.0.1:7, unix://{RUN}
protocol = echo
"""
OTHER_INI = ECHO_INI + """\
[listener:other]
listen   = tcp://127.0.0.1:7008
protocol = echo
"""


# ---- The unit files

def test_units_are_valid():
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", UNIT], capture_output=True,
                            text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_exposure_is_at_most_1_4():
    result = subprocess.run(["systemd-analyze", "security", "--no-pager", "--threshold=14", UNIT],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


# ---- Start

def test_installed_configuration_answers_a_probe(service):
    shipped = pathlib.Path(f"{INI}.default").read_text()
    service.start(shipped)
    program = re.search(r"path=(\S+)", service.show("ExecStart"))[1]
    result = subprocess.run([program, "-p", "-c", INI], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_start_returns_when_every_listener_is_bound(service):
    ports = range(20000, 20300)
    service.start("".join(f"[listener:l{port}]\nlisten = tcp://127.0.0.1:{port}\nprotocol = echo\n"
                          for port in ports))
    for port in ports:
        connect(("127.0.0.1", port)).close()
    assert service.show("StatusText").startswith("300 listeners, ")


def test_start_fails_when_an_address_is_taken(service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 7008))
        taken.listen()
        service.configure(OTHER_INI)
        assert systemctl("start", UNIT, check=False).returncode != 0
        service.wait_for_line("7008", PRIORITY="3")
    service.wait_restarted(0)
    assert echo(OTHER) == b"hi\n"


def test_failing_starts_are_never_given_up(service):
    service.drop_in("[Service]\nRestartSec=10ms\n")
    service.configure(ECHO_INI + "lisen = x\n")
    assert systemctl("start", UNIT, check=False).returncode != 0
    wait_until(lambda: int(service.show("NRestarts")) > 10, "more restarts than the usual limit")
    service.configure(ECHO_INI)
    service.wait_restarted(0)
    assert echo(ECHO) == b"hi\n"


def test_serves_on_privileged_ports_and_its_unix_socket(service):
    service.start(ECHO_INI)
    assert echo(ECHO) == b"hi\n"
    assert ask(ECHO) == b"hi\n"
    assert echo(RUN) == b"hi\n"


def test_resolves_names_and_reaches_upstreams(service):
    service.start(ECHO_INI + f"""\
[listener:web]
listen   = tcp://127.0.0.1:80
protocol = proxy
upstream = tcp://localhost:7, unix://{RUN}
""")
    assert echo(("127.0.0.1", 80), b"x" * 500000) == b"x" * 500000


# ---- The sandbox

def test_has_one_capability_and_no_user_of_the_host(service):
    service.start(ECHO_INI)
    status = dict(line.split(":\t", 1) for line
                  in pathlib.Path(f"/proc/{service.pid}/status").read_text().splitlines())
    bind_service = f"{1 << 10:016x}"
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert status[name] == bind_service, name
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for user in status["Uid"].split():
        assert 61184 <= int(user) <= 65519      # the range of dynamic users


def test_sees_its_files_read_only(service):
    service.start(ECHO_INI)
    root = pathlib.Path(f"/proc/{service.pid}/root")
    for folder in ("etc", "usr", "usr/bin", "var", "var/lib", "var/log", "opt", "srv", "boot",
                   "root", "home", "dev", str(INI.parent)[1:]):
        if not (root / folder).is_dir():
            continue
        with pytest.raises(OSError) as error:     # the mounts say so, also to root
            (root / folder / "twined-test").touch()
        assert error.value.errno in (30, 13, 1), folder


def test_binds_no_unix_socket_elsewhere(service):
    service.configure("[listener:echo]\nlisten = unix:///var/lib/echo.sock\nprotocol = echo\n")
    assert systemctl("start", UNIT, check=False).returncode != 0
    service.wait_for_line("/var/lib/echo.sock", PRIORITY="3")


def test_executes_nothing_but_itself(service):
    service.start(ECHO_INI)
    mounts = pathlib.Path(f"/proc/{service.pid}/mountinfo").read_text().splitlines()
    (root,) = [line for line in mounts if line.split()[4] == "/"]
    assert "noexec" in root.split()[5].split(",")


# ---- Reload

def test_reload_adds_a_listener_and_cuts_nobody(service):
    service.start(ECHO_INI)
    pid = service.pid
    with connect(ECHO) as client:
        client.sendall(b"before\n")
        assert client.recv(100) == b"before\n"
        service.configure(OTHER_INI)
        service.reload()
        assert echo(OTHER) == b"hi\n"
        client.sendall(b"after\n")
        assert client.recv(100) == b"after\n"
    assert service.pid == pid
    assert service.show("StatusText").startswith("2 listeners, ")
    service.wait_for_line("reloaded", PRIORITY="5")


def test_reload_is_over_when_systemctl_returns(service):
    service.start(ECHO_INI)
    for _ in range(15):
        service.configure(OTHER_INI)
        service.reload()
        assert echo(OTHER) == b"hi\n"
        service.configure(ECHO_INI)
        service.reload()
        with pytest.raises(ConnectionRefusedError):
            connect(OTHER)
        assert service.show("ActiveState") == "active"


def test_bad_reload_fails_and_changes_nothing(service):
    service.start(ECHO_INI)
    pid = service.pid
    with connect(ECHO) as client:
        line = service.configure(OTHER_INI + "lisen = x\n")
        assert service.reload(check=False).returncode != 0
        place = f"{INI}:{line}: [listener:other] lisen: unknown key"
        service.wait_for_line(place, 'did you mean "listen"?', PRIORITY="3")
        assert place in service.show("StatusText")
        assert service.show("ActiveState") == "active"
        client.sendall(b"still here\n")
        assert client.recv(100) == b"still here\n"
    assert echo(ECHO) == b"hi\n"
    with pytest.raises(ConnectionRefusedError):
        connect(OTHER)
    assert service.pid == pid

    service.configure(OTHER_INI)
    service.reload()
    assert echo(OTHER) == b"hi\n"
    assert service.show("StatusText").startswith("2 listeners, ")


def test_reload_that_cannot_bind_changes_nothing(service):
    service.start(ECHO_INI)
    with socket.socket() as taken:
        taken.bind(OTHER)
        taken.listen()
        service.configure(OTHER_INI.replace("udp://127.0.0.1:7,", "udp://127.0.0.1:7007,"))
        assert service.reload(check=False).returncode != 0
    assert ask(ECHO) == b"hi\n"
    assert echo(RUN) == b"hi\n"
    with pytest.raises(ConnectionRefusedError):
        connect(OTHER)


def test_reload_by_hangup(service):
    service.start(ECHO_INI)
    service.configure(OTHER_INI)
    systemctl("kill", "-s", "HUP", UNIT)
    service.wait_for_line("reloaded", PRIORITY="5")
    assert echo(OTHER) == b"hi\n"


# ---- Stop

def unacknowledged(client):
    """How many bytes the other side's kernel has not taken."""
    return struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]


def test_stop_delivers_what_is_owed(service):
    service.start(ECHO_INI)
    with connect(ECHO) as client:
        client.setblocking(False)
        text = bytes(range(251)) * 200_000
        sent = 0

        def nothing_moves():
            nonlocal sent
            before = sent, unacknowledged(client)
            try:
                while True:
                    sent += client.send(text[sent:sent + 65536])
            except BlockingIOError:
                pass
            threading.Event().wait(0.3)
            return (sent, unacknowledged(client)) == before and sent - before[1] > 200_000
        wait_until(nothing_moves, "a peer that does not read to be read from no more")
        accepted = sent - unacknowledged(client)

        client.settimeout(DEADLINE_S)
        systemctl("stop", "--no-block", UNIT)
        wait_until(lambda: service.show("ActiveState") == "deactivating", "the stop to begin")
        with pytest.raises(OSError):
            wait_until(lambda: connect(ECHO).close(), "listeners to be closed")
        received = bytearray()
        try:
            while piece := client.recv(65536):
                received += piece
        except ConnectionResetError:
            pass            # what had not been accepted cannot be told from what will never be
    assert len(received) >= accepted, journal_text()
    assert received == text[:len(received)]
    wait_until(lambda: service.show("ActiveState") == "inactive", "the stop to end")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert not os.path.exists(RUN)


def test_stop_ends_with_an_idle_peer(service):
    service.start(ECHO_INI)
    with connect(ECHO) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        systemctl("stop", "--no-block", UNIT)
        assert read_all(client) == b""
    wait_until(lambda: service.show("ActiveState") == "inactive", "the stop to end")
    assert service.show("Result") == "success"


# ---- Restart

def test_comes_back_after_kill_and_replaces_its_stale_socket(service):
    service.drop_in("[Service]\nRuntimeDirectoryPreserve=yes\n")
    service.start(ECHO_INI)
    assert echo(RUN) == b"hi\n"
    pid, inode = service.pid, os.stat(RUN).st_ino
    systemctl("kill", "-s", "KILL", UNIT)
    service.wait_restarted(pid)
    assert os.stat(RUN).st_ino != inode
    assert echo(RUN) == b"hi\n"
    assert echo(ECHO) == b"hi\n"
    assert service.show("NRestarts") == "1"


def test_watchdog_aborts_a_stopped_daemon(service):
    service.drop_in("[Service]\nWatchdogSec=3s\n")
    service.start(ECHO_INI)
    pid = service.pid
    os.kill(pid, signal.SIGSTOP)
    service.wait_restarted(pid)
    wait_until(lambda: "Watchdog timeout" in journal_text(), "the reason in the journal")
    assert echo(ECHO) == b"hi\n"


def test_watchdog_aborts_when_one_reactor_stalls(service):
    service.drop_in("[Service]\nWatchdogSec=3s\n")
    service.start("[daemon]\nthreads = 3\n" + ECHO_INI)
    pid = service.pid
    threads = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    with Freeze(threads[-1]):
        service.wait_restarted(pid)
    assert echo(ECHO) == b"hi\n"


def test_watchdog_leaves_a_turning_daemon_alone(service):
    service.drop_in("[Service]\nWatchdogSec=5s\n")
    service.start(ECHO_INI)
    pid = service.pid
    with connect(ECHO) as client:
        started = int(service.show("WatchdogTimestampMonotonic"))

        def two_periods():
            client.sendall(b"x" * 10000)
            assert len(client.recv(10000, socket.MSG_WAITALL)) == 10000
            return int(service.show("WatchdogTimestampMonotonic")) - started > 10_000_000
        wait_until(two_periods, "the watchdog to be fed for two periods")
    assert service.pid == pid
    assert service.show("NRestarts") == "0"


# ---- Socket activation

SYSTEMD_INI = "[listener:echo]\nlisten = systemd:echo\nprotocol = echo\n"


def test_example_socket_unit_starts_the_service(service):
    service.configure(SYSTEMD_INI)
    example = pathlib.Path(os.environ["TWINED_SOURCE"], "systemd/twined.socket").read_text()
    service.socket_unit("twined.socket", example)
    assert service.pid == 0
    assert echo(ECHO) == b"hi\n"
    assert service.pid != 0
    assert ask(ECHO) == b"hi\n"
    assert echo("/run/twined-echo.sock") == b"hi\n"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_passed_sockets_of_every_kind(service, threads):
    service.configure(f"[daemon]\nthreads = {threads}\n" + SYSTEMD_INI + """\
[listener:time]
listen = systemd:time, tcp://127.0.0.1:7008
protocol = discard
""")
    service.socket_unit("twined-a.socket", f"""\
[Socket]
Service={UNIT}
FileDescriptorName=echo
ListenStream=127.0.0.1:7
ListenStream=[::1]:7
ListenDatagram=127.0.0.1:7
ListenStream=/run/twined-a.sock
ListenDatagram=/run/twined-a.dgram
""")
    service.socket_unit("twined-b.socket", f"""\
[Socket]
Service={UNIT}
FileDescriptorName=time
ListenStream=127.0.0.1:37
""")
    systemctl("start", UNIT)
    for _ in range(4 * threads):
        assert echo(ECHO) == b"hi\n"
        assert ask(ECHO) == b"hi\n"
        assert echo("/run/twined-a.sock") == b"hi\n"
        assert ask("/run/twined-a.dgram") == b"hi\n"
        assert echo(("127.0.0.1", 37)) == b""
        assert echo(OTHER) == b""
    assert not [entry for entry in service.journal() if int(entry["PRIORITY"]) <= 4]


def test_passed_sockets_outlive_reload_restart_and_stop(service):
    service.configure(SYSTEMD_INI)
    service.socket_unit("twined-a.socket", f"""\
[Socket]
Service={UNIT}
FileDescriptorName=echo
ListenStream=127.0.0.1:7
ListenStream=/run/twined-a.sock
""")
    assert echo(ECHO) == b"hi\n"
    service.configure(SYSTEMD_INI + "idle_timeout = 1m\n")
    service.reload()
    assert echo(ECHO) == b"hi\n"
    systemctl("restart", "--no-block", UNIT)
    answers = [echo(ECHO) for _ in range(100)]      # none is refused or reset, whenever it comes
    # At most the one that was open at the stop has had no time to ask.
    assert set(answers) <= {b"hi\n", b""} and answers.count(b"") <= 1
    assert answers[-1] == b"hi\n"
    systemctl("stop", UNIT)
    assert os.path.exists("/run/twined-a.sock")
    assert echo("/run/twined-a.sock") == b"hi\n"


def test_unclaimed_socket_is_a_warning(service):
    service.configure(ECHO_INI)
    service.socket_unit("twined-spare.socket", f"""\
[Socket]
Service={UNIT}
FileDescriptorName=spare
ListenStream=127.0.0.1:7009
""")
    systemctl("start", UNIT)
    service.wait_for_line("systemd:spare", PRIORITY="4")
    assert echo(ECHO) == b"hi\n"


def test_missing_socket_is_an_error(service):
    service.configure(SYSTEMD_INI)
    assert systemctl("start", UNIT, check=False).returncode != 0
    service.wait_for_line(f"{INI}:", "[listener:echo] listen: systemd:echo", PRIORITY="3")


# ---- The journal

def test_log_is_in_the_journal_with_its_priority(service):
    service.start(ECHO_INI)
    echo(ECHO)
    service.wait_for_line("echo tcp://127.0.0.1:7", PRIORITY="5")
    service.wait_for_line("tcp://127.0.0.1:", "peer_closed", PRIORITY="6")
    service.stop()
    service.wait_for_line("stopping", PRIORITY="5")
    for entry in service.journal():
        assert isinstance(entry["MESSAGE"], str) and "\n" not in entry["MESSAGE"]
        assert entry["SYSLOG_IDENTIFIER"] == "twined", json.dumps(entry)
        # Its own priority, not one in the text.
        assert not re.match(r"<\d>", entry["MESSAGE"])


def test_a_connection_is_as_many_lines_as_events(service):
    service.start(ECHO_INI)
    echo(ECHO)
    service.wait_for_line("peer_closed", PRIORITY="6")
    service.stop()
    lines = [entry["MESSAGE"] for entry in service.journal(PRIORITY="6")]
    assert len(lines) == 2, lines       # its begin and its end
