"""The command line: what each option does, and the exit status 0, 1 and 2."""

import os
import re
import signal

import pytest

from support import listener, run

ECHO = listener("echo", "echo", "tcp://127.0.0.1:7007, udp://127.0.0.1:7007")
EVERYTHING = """
[daemon]
threads = 3
reactor = poll
log_level = debug
max_connections = 1000
shutdown_timeout = 1500ms

[defaults]
idle_timeout = 5m
keepalive = off

[listener:echo]
listen = tcp://127.0.0.1:7007, udp://[::1]:7007, unix:///tmp/x/echo.sock, unix://@twined-echo
protocol = echo
allow = 127.0.0.0/8, ::1, unix
deny = 127.0.0.2
max_connections = 17
max_connections_per_ip = 3
accept_rate = 500/m
on_full = reset
backlog = 12
socket_mode = 0600
udp_reply_rate = 5/s
udp_amplify = no

[listener:off]
listen = tcp://127.0.0.1:7008
protocol = discard
enabled = no

[listener:day]
listen = tcp://127.0.0.1:7013
protocol = daytime
format = it is %H o'clock; ok? 100%% # $$5
timezone = Europe/Berlin

[listener:quote]
listen = udp://127.0.0.1:7017
protocol = qotd
quote = "  two  blanks  "

[listener:hub]
listen = tcp://127.0.0.1:7018
protocol = relay
max_line = 1K
on_long_line = cut
line_end = crlf
write_timeout = none

[listener:web]
listen = tcp://*:7080
protocol = proxy
upstream = tcp://127.0.0.1:80, unix:///run/web.sock
connect_timeout = 250ms
"""


@pytest.fixture
def file(directory):
    def write(text, name="twined.ini"):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path
    return write


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_the_usage_on_stdout(option):
    result = run(option)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("usage: twined")
    for name in ("--config", "--test", "--dump", "--protocols", "--probe", "--listen", "--verbose",
                 "--quiet", "--reload", "--version", "--help"):
        assert name in result.stdout


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_names_the_libraries_and_features(option):
    result = run(option)
    assert result.returncode == 0
    assert re.match(r"twined \d+\.\d+", result.stdout)
    assert re.search(r"libevent \d", result.stdout) and re.search(r"inih \S", result.stdout)
    assert re.search(r"[+-]systemd", result.stdout)


@pytest.mark.parametrize("args", [
    ["--no-such-option"], ["-x"], ["-c"], ["-L"], ["--reload"], ["--reload", "x"],
    ["--reload", "0"],
    ["--reload", "-1"], ["--reload", "12x"], ["stray"], ["-t", "stray"], ["-t", "-T"], ["-p", "-t"],
    ["-l", "echo", "echo"], ["-c", "a", "-c", "b"], ["-t", "--reload", "1"], ["-V", "stray"],
    ["--test=yes"],
])
def test_a_wrong_command_line_is_2_and_says_why(args):
    result = run(*args)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("twined: ") and result.stderr.count("\n") == 1


def test_an_unknown_option_is_named():
    assert "--no-such-option" in run("--no-such-option").stderr
    assert "-x" in run("-x").stderr


def test_test_says_ok_and_counts(file):
    path = file(ECHO + listener("off", "discard", enabled="no"))
    result = run("-t", "-c", path)
    assert result.returncode == 0 and result.stderr == ""
    assert re.fullmatch(re.escape(path) + r": OK: [12] listeners?, 0 connectors\n", result.stdout)


def test_test_opens_no_socket(file, directory):
    path = file(listener("echo", "echo", f"unix://{directory}/echo.sock"))
    assert run("-t", "-c", path).returncode == 0
    assert os.listdir(directory) == ["twined.ini"]


def test_test_works_while_the_addresses_are_taken(twined):
    daemon = twined(listener("echo", "echo"))
    taken = daemon.address("echo")
    result = run("-t", "-L", f"echo {taken}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("verb", ["-t", "-T", "-p", None])
def test_a_bad_file_is_1_with_every_error_and_its_line(file, verb):
    path = file("[listener:echo]\nlisen = tcp://127.0.0.1:0\nprotocol = echo\n"
                "idle_timeout = 5 parsecs\n")
    result = run(*[word for word in (verb, "-c", path) if word])
    assert result.returncode == 1 and result.stdout == ""
    lines = result.stderr.split("\n")
    assert f'{path}:2: [listener:echo] lisen: unknown key, did you mean "listen"?' in lines
    assert (f'{path}:4: [listener:echo] idle_timeout: "5 parsecs" is not a duration such as '
            "250ms, 5s, 2m, 1h") in lines
    assert re.search(rf"^{re.escape(path)}: [23] errors$", result.stderr, re.M)


@pytest.mark.parametrize("verb", ["-t", "-T", "-p", None])
def test_a_missing_file_is_1_and_named(directory, verb):
    path = os.path.join(directory, "none.ini")
    result = run(*[word for word in (verb, "-c", path) if word])
    assert result.returncode == 1 and path in result.stderr


def test_without_options_the_file_of_sysconfdir_is_read():
    result = run("-t")
    assert "/twined/twined.ini" in result.stdout + result.stderr


@pytest.mark.parametrize("text", [ECHO, EVERYTHING], ids=["short", "everything"])
def test_a_dump_reads_back_to_the_same_dump(file, text):
    first = run("-T", "-c", file(text))
    assert first.returncode == 0, first.stderr
    second = run("-T", "-c", file(first.stdout, "dumped.ini"))
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_a_dump_has_what_was_said_and_the_defaults(file):
    dump = run("-T", "-c", file(EVERYTHING)).stdout
    for line in ("threads = 3", "reactor = poll", "accept_rate = 500/m", "on_full = reset",
                 "max_connections_per_ip = 3", "connect_timeout = 250ms", "max_line = 1K",
                 "linger_timeout = 5s"):
        assert re.search("^" + re.escape(line).replace(r"\ =\ ", r"\s*=\s*") + "$", dump,
                         re.M), line
    sections = re.findall(r"^\[listener:(\S+)\]$", dump, re.M)
    assert {"echo", "day", "quote", "hub", "web"} <= set(sections)
    assert re.search(r"^idle_timeout\s*=\s*5m$", dump, re.M)


def test_a_dump_runs_as_the_file_it_came_from(twined, file):
    first = run("-T", "-c", file(listener("echo", "echo", idle_timeout="100ms",
                                               linger_timeout="100ms")))
    daemon = twined(first.stdout)
    assert daemon.connect("echo").recv(10) == b""
    daemon.wait_log("closed: idle_timeout")


def test_protocols_are_listed_with_their_transports():
    result = run("-l")
    assert result.returncode == 0
    for name in ("echo", "discard", "chargen", "daytime", "time", "qotd", "relay", "proxy"):
        assert re.search(rf"^\s*{name}\b", result.stdout, re.M), name
    assert "udp" in result.stdout.lower() or "datagram" in result.stdout.lower()


@pytest.mark.parametrize("name, options", [
    ("relay", ["max_line", "on_long_line", "line_end", "loopback"]),
    ("proxy", ["upstream", "connect_timeout"]),
    ("daytime", ["format", "timezone"]),
    ("qotd", ["quote", "file"]),
])
def test_protocols_of_a_name_shows_its_options(name, options):
    result = run("--protocols", name)
    assert result.returncode == 0
    for option in options:
        assert option in result.stdout
    if name == "proxy":
        assert "5s" in result.stdout and "required" in result.stdout
    if name == "relay":
        assert "8K" in result.stdout and "drop" in result.stdout and "cut" in result.stdout


def test_an_unknown_protocol_to_list_is_an_error():
    result = run("-l", "gopher")
    assert result.returncode in (1, 2) and "gopher" in result.stderr


def test_listeners_of_the_command_line_need_no_file(twined):
    daemon = twined(args=["-L", "echo tcp://127.0.0.1:0,udp://127.0.0.1:0",
                          "-L", "daytime tcp://127.0.0.1:0 timezone=UTC format=%Z"])
    client = daemon.connect("echo")
    client.sendall(b"hi")
    assert client.recv(10) == b"hi"
    client = daemon.connect("echo", "udp")
    client.send(b"hi")
    assert client.recv(10) == b"hi"
    assert daemon.connect("daytime").recv(20).strip() == b"UTC"


def test_two_listeners_of_the_command_line_may_speak_the_same_protocol(twined, directory):
    daemon = twined(args=["-L", f"echo unix://{directory}/a", "-L", f"echo unix://{directory}/b"])
    for name in "ab":
        client = daemon.connect_to(f"unix://{directory}/{name}")
        client.sendall(b"hi")
        assert client.recv(10) == b"hi"


def test_listeners_of_the_command_line_are_added_to_a_file(twined):
    daemon = twined(listener("one", "echo"), args=["-L", "discard tcp://127.0.0.1:0"])
    assert daemon.address("one") and daemon.address("discard")


@pytest.mark.parametrize("spec, word", [
    ("echo", "PROTOCOL ADDRESS"), ("gopher tcp://127.0.0.1:0", "gopher"),
    ("echo tcp://127.0.0.1:99999", "99999"), ("echo tcp://127.0.0.1:0 idle=5s", "idle"),
    ("echo tcp://127.0.0.1:0 idle_timeout=5", "idle_timeout"), ("", "PROTOCOL ADDRESS"),
    ("echo tcp://127.0.0.1:0 stray", "stray"), ("chargen http://127.0.0.1:0", "http"),
    ("proxy udp://127.0.0.1:0 upstream=tcp://127.0.0.1:1", "udp"),
])
def test_a_wrong_listener_of_the_command_line_is_1(spec, word):
    result = run("-t", "-L", spec)
    assert result.returncode == 1 and word in result.stderr


@pytest.mark.parametrize("args, said", [
    ([], {"notice", "info"}), (["-v"], {"notice", "info", "debug"}), (["-q"], {"notice"}),
    (["-q", "-q"], set()), (["-q", "-v"], {"notice", "info"}), (["-qqqqq"], set()),
])
def test_v_and_q_say_more_and_less(twined, directory, args, said):
    daemon = twined(listener("echo", "echo", f"unix://{directory}/echo"), args=args)
    client = daemon.connect_to(f"unix://{directory}/echo")
    client.sendall(b"hi")
    assert client.recv(10) == b"hi"
    daemon.stop()
    seen = {re.search(r"\b(error|warning|notice|info|debug): ", line)[1] for line in daemon.log}
    # There may be nothing to say at the level of debug.
    assert seen | {"debug"} == said | {"debug"}
    if "debug" not in said:
        assert "debug" not in seen


def test_log_level_is_what_v_and_q_start_from(twined, directory):
    config = "[daemon]\nlog_level = warning\n" + listener("echo", "echo", f"unix://{directory}/e")
    quiet = twined(config)
    quiet.stop()
    assert quiet.log == []
    loud = twined(config, args=["-v"])
    loud.stop()
    assert loud.lines("listening")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_end_it_with_0(twined, number):
    daemon = twined(listener("echo", "echo"))
    daemon.signal(number)
    assert daemon.wait() == 0


def test_an_address_in_use_is_1_with_line_and_address(twined):
    address = twined(listener("echo", "echo")).address("echo")
    second = twined(listener("other", "echo", address), ready=False)
    log = second.fail()
    assert re.search(rf"twined.ini:\d+: \[listener:other\] .*{re.escape(address)}.*in use", log)


def test_one_address_in_use_starts_nothing(twined, directory):
    address = twined(listener("echo", "echo")).address("echo")
    second = twined(listener("good", "echo", f"unix://{directory}/good")
                    + listener("bad", "echo", address), ready=False)
    log = second.fail()
    assert "listening" not in log
    assert not os.path.exists(f"{directory}/good")


def test_reload_of_a_process_that_is_none_is_1():
    result = run("--reload", "2147483646")
    assert result.returncode == 1 and "2147483646" in result.stderr


def test_reload_of_a_process_that_is_no_twined_is_1():
    result = run("--reload", str(os.getpid()))
    assert result.returncode == 1 and str(os.getpid()) in result.stderr
