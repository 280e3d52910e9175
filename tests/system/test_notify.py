"""What systemd is told: READY, STATUS, RELOADING, STOPPING and WATCHDOG."""

import os
import re
import signal
import time

import pytest

from support import listener, receive, run, wait_for

ECHO = listener("echo", "echo")


def test_ready_comes_when_every_listener_is_bound(twined, directory):
    config = ECHO + "".join(listener(f"l{n}", "echo", f"unix://{directory}/{n}") for n in range(50))
    daemon = twined(config, ready=False)
    daemon.wait_state("READY=1")
    for n in range(50):
        client = daemon.connect_to(f"unix://{directory}/{n}")
        client.sendall(b"hi")
        assert receive(client, 2) == b"hi"
    assert len([state for state in daemon.states if "READY=1" in state.split("\n")]) == 1


def test_a_failed_start_is_never_ready(twined):
    daemon = twined(ECHO + listener("bad", "echo", "unix:///nowhere/at/all/s"), ready=False)
    daemon.fail()
    assert not [state for state in daemon.states if "READY=1" in state]


def test_status_has_the_counts(twined):
    daemon = twined(ECHO + listener("two", "echo"))
    state = daemon.wait_state("READY=1")
    assert re.search(r"^STATUS=.*2 listeners.*0 connections", state, re.M)
    clients = [daemon.connect("echo") for _ in range(3)]
    for client in clients:
        client.sendall(b"hi")
        assert receive(client, 2) == b"hi"
    assert daemon.reload(ECHO + listener("two", "echo") + listener("three", "echo")).returncode == 0
    wait_for(lambda: [state for state in daemon.states
                      if re.search("STATUS=.*3 listeners.*3 connections", state)], "the new counts")


def test_status_follows_the_connections(twined):
    daemon = twined(ECHO)
    client = daemon.connect("echo")
    client.sendall(b"hi")
    assert receive(client, 2) == b"hi"
    wait_for(lambda: [state for state in daemon.states if "1 connection" in state],
             "the count")


@pytest.mark.parametrize("good", [True, False])
def test_a_reload_is_told_before_and_after(twined, good):
    daemon = twined(ECHO, errors="twined.ini|reload failed")
    since = len(daemon.states)
    before = time.monotonic_ns() // 1000
    daemon.reload(ECHO + (listener("two", "echo") if good else "[nonsense\n"))
    reloading = daemon.wait_state("RELOADING=1", since)
    at = re.search(r"^MONOTONIC_USEC=(\d+)$", reloading, re.M)
    assert at and before <= int(at[1]) <= time.monotonic_ns() // 1000
    ready = daemon.wait_state("READY=1", since)
    states = daemon.states[since:]
    assert states.index(reloading) < states.index(ready)
    if good:
        assert "2 listeners" in ready
    else:
        assert re.search(r"^STATUS=.*twined\.ini:\d+: ", ready, re.M)


@pytest.mark.parametrize("interval_s", [10, 90])
def test_the_watchdog_waits_for_a_reload_as_long_as_who_asks_for_it(twined, interval_s):
    daemon = twined(ECHO, env={"WATCHDOG_USEC": str(interval_s * 1000000)})
    daemon.reload(ECHO)
    expected = [10, 60, 10] if interval_s < 60 else [90, 90]
    wait_for(lambda: expected == [int(state.partition("=")[2]) / 1e6 for state in daemon.states
                                  if state.startswith("WATCHDOG_USEC=")], f"it is told {expected}")


def test_the_error_of_a_failed_reload_stays_in_the_status(twined):
    daemon = twined(ECHO, errors="twined.ini|reload failed", env={"WATCHDOG_USEC": "200000"})
    daemon.reload("[nonsense\n")
    time.sleep(0.5)			# ticks that could overwrite it
    status = [state for state in daemon.states if "STATUS=" in state][-1]
    assert "twined.ini:1: " in status


def test_stopping_is_told(twined):
    daemon = twined(ECHO)
    daemon.signal(signal.SIGTERM)
    daemon.wait_state("STOPPING=1")


@pytest.mark.parametrize("threads", [1, 4])
def test_the_watchdog_is_fed_at_least_twice_an_interval(twined, threads):
    daemon = twined(f"[daemon]\nthreads = {threads}\n" + ECHO, env={"WATCHDOG_USEC": "400000"})

    def fed_in_time():
        since, started = len(daemon.states), time.monotonic()
        wait_for(lambda: sum("WATCHDOG=1" in state for state in daemon.states[since:]) >= 5,
                 "it is fed")
        return time.monotonic() - started < 5 * 0.25
    wait_for(fed_in_time, "it is fed as often as that")


def test_without_a_watchdog_it_is_not_fed(twined):
    daemon = twined(ECHO)
    daemon.reload(ECHO)
    daemon.stop()
    assert not [state for state in daemon.states if "WATCHDOG" in state]


def test_the_watchdog_of_another_process_is_not_fed(twined):
    daemon = twined(ECHO, env={"WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})
    daemon.reload(ECHO)
    time.sleep(0.3)			# more than an interval
    assert not [state for state in daemon.states if "WATCHDOG" in state]


def test_a_stalled_reactor_is_not_reported_as_alive(twined, root):
    """One of the threads is stopped by ptrace(2), and the others turn."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    daemon = twined("[daemon]\nthreads = 3\n" + ECHO, env={"WATCHDOG_USEC": "200000"})
    daemon.wait_state("WATCHDOG=1")
    victim = max(int(task) for task in os.listdir(f"/proc/{daemon.pid}/task"))
    seize, interrupt, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    if libc.ptrace(seize, victim, None, None) != 0:
        pytest.skip("needs ptrace")
    assert libc.ptrace(interrupt, victim, None, None) == 0
    os.waitpid(victim, wall)
    try:
        def nothing_comes():
            since = len(daemon.states)
            time.sleep(0.5)		# the span that is looked at
            return not [state for state in daemon.states[since:] if "WATCHDOG=1" in state]
        wait_for(nothing_comes, "what was under way has come")
        since = len(daemon.states)
    finally:
        libc.ptrace(detach, victim, None, None)
    daemon.wait_state("WATCHDOG=1", since)


def test_without_notify_socket_it_runs_all_the_same(twined, directory):
    daemon = twined(listener("echo", "echo", f"unix://{directory}/s"), env={"NOTIFY_SOCKET": ""},
                    ready=False)
    wait_for(lambda: run("--reload", str(daemon.pid)).returncode == 0, "it runs")
