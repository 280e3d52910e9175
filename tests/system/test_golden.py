"""Bad configurations get exactly their errors; good ones are taken, and dumped so that they read
back."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
TWINED = os.environ.get("TWINED", str(ROOT / "twined"))
BAD = sorted(path.stem for path in GOLDEN.glob("*.ini"))
GOOD = sorted(path.stem for path in (GOLDEN / "good").glob("*.ini"))
LISTENER = b"[listener:echo]\nlisten = tcp://127.0.0.1:7007\nprotocol = echo\n"


def run(cwd, *arguments, **environment):
    """Runs twined; returns its exit status, output and errors."""
    clean = {name: value for name, value in os.environ.items() if name != "TWINED_NO_SUCH_VARIABLE"}
    done = subprocess.run([TWINED, *arguments], cwd=cwd, env={**clean, **environment}, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module", name="golden")
def copy_golden(tmp_path_factory):
    """The files as files of ours that only we write: root refuses others, as it should."""
    copy = tmp_path_factory.mktemp("golden") / "golden"
    shutil.copytree(GOLDEN, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


@pytest.fixture(name="ini")
def write_ini(tmp_path):
    """Writes a file and returns what a test of it says."""
    def write(content, *arguments, mode=0o644, **environment):
        path = tmp_path / "t.ini"
        path.write_bytes(content)
        path.chmod(mode)
        return run(tmp_path, *(arguments or ("-t",)), "-c", "t.ini", **environment)
    return write


def test_there_are_enough_bad_files():
    assert len(BAD) >= 120
    assert all((GOLDEN / f"{name}.err").exists() for name in BAD)


@pytest.mark.parametrize("name", BAD)
def test_bad(golden, name):
    status, output, errors = run(golden, "-t", "-c", f"{name}.ini")
    assert errors == (GOLDEN / f"{name}.err").read_text()
    assert (status, output) == (1, "")


@pytest.mark.parametrize("name", GOOD)
def test_good(golden, name):
    status, output, errors = run(golden / "good", "-t", "-c", f"{name}.ini")
    assert (status, errors) == (0, "")
    assert output.startswith(f"{name}.ini: OK: ")


@pytest.mark.parametrize("name", GOOD)
def test_dump_reads_back(golden, tmp_path, name):
    status, dump, errors = run(golden / "good", "-T", "-c", f"{name}.ini")
    assert (status, errors) == (0, "")
    (tmp_path / "dump.ini").write_text(dump)
    assert run(tmp_path, "-T", "-c", "dump.ini") == (0, dump, "")
    wanted = GOLDEN / "good" / f"{name}.dump"
    if wanted.exists():
        assert set(wanted.read_text().splitlines()) <= set(dump.splitlines())


def test_counts(ini):
    assert ini(LISTENER) == (0, "t.ini: OK: 1 listeners, 0 connectors\n", "")


def refused(sentence):
    return 1, "", f"t.ini: {sentence}\nt.ini: 1 error\n"


def test_file_of_1_mib_is_taken(ini):
    line = b";" + b"x" * 1022 + b"\n"
    content = (LISTENER + line * 1024)[:1024 * 1024 - 1] + b"\n"
    assert len(content) == 1024 * 1024
    assert ini(content)[0] == 0


def test_file_over_1_mib(ini):
    content = LISTENER + b"\n" * (1024 * 1024 - len(LISTENER) + 1)
    assert ini(content) == refused("is larger than 1 MiB")


def test_file_far_over_1_mib(ini, tmp_path):
    (tmp_path / "t.ini").write_bytes(LISTENER)
    os.truncate(tmp_path / "t.ini", 1 << 40)
    assert run(tmp_path, "-t", "-c", "t.ini") == refused("is larger than 1 MiB")


def test_no_file(tmp_path):
    result = run(tmp_path, "-t", "-c", "t.ini")
    assert result == refused("cannot be read: No such file or directory")


def test_directory(tmp_path):
    (tmp_path / "t.ini").mkdir()
    assert run(tmp_path, "-t", "-c", "t.ini") == refused("is a directory, not a file")


def test_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "t.ini")
    assert run(tmp_path, "-t", "-c", "t.ini") == refused("is a FIFO, not a file")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_device(tmp_path, device):
    (tmp_path / "t.ini").symlink_to(device)
    assert run(tmp_path, "-t", "-c", "t.ini") == refused("is a device, not a file")


def test_dangling_link(tmp_path):
    (tmp_path / "t.ini").symlink_to("nowhere")
    result = run(tmp_path, "-t", "-c", "t.ini")
    assert result == refused("cannot be read: No such file or directory")


def test_many_errors_are_all_shown_quickly(ini):
    lines = b"".join(b"k%d = 1\n" % number for number in range(60000))
    status, _, errors = ini(LISTENER + lines)
    assert status == 1
    assert errors.endswith("t.ini: 60000 errors\n")


def test_included_files_are_sorted_and_placed(ini, tmp_path):
    (tmp_path / "d").mkdir()
    for name in ("b.ini", "a.ini", "c.txt", ".hidden.ini"):
        (tmp_path / "d" / name).write_bytes(b"nonsense\n")
        (tmp_path / "d" / name).chmod(0o644)
    sentence = 'no "=" in the line: expected key = value'
    assert ini(b"[daemon]\ninclude = d/*.ini\n" + LISTENER) == (
        1, "", f"d/a.ini:1: {sentence}\nd/b.ini:1: {sentence}\nt.ini: 2 errors\n")


def test_include_is_relative_to_the_file(tmp_path):
    folder = tmp_path / "[a*]"
    (folder / "d").mkdir(parents=True)
    for path, content in ((folder / "t.ini", b"[daemon]\ninclude = d/*.ini\n"),
                          (folder / "d" / "e.ini", LISTENER)):
        path.write_bytes(content)
        path.chmod(0o644)
    result = run(tmp_path, "-t", "-c", "[a*]/t.ini")
    assert result == (0, "[a*]/t.ini: OK: 1 listeners, 0 connectors\n", "")


def test_file_value_is_dumped_absolute(golden):
    dump = run(golden / "good", "-T", "-c", "file.ini")[1]
    assert f"file = {(golden / 'good').resolve()}/../quotes.txt" in dump.splitlines()


def test_environment(ini):
    content = b"[listener:e]\nlisten = tcp://127.0.0.1:${PORT}\nprotocol = ${PROTOCOL:-echo}\n"
    assert "listen = tcp://127.0.0.1:7\n" in ini(content, "-T", PORT="7")[1]
    assert "protocol = time\n" in ini(content, "-T", PORT="7", PROTOCOL="time")[1]
    assert "protocol = echo\n" in ini(content, "-T", PORT="7", PROTOCOL="")[1]
    assert ini(content, PORT="x y")[2].startswith(
        't.ini:2: [listener:e] listen: "tcp://127.0.0.1:x y" has a blank in it')
    assert ini(content, PORT="7\n[x]")[2].startswith(
        "t.ini:2: [listener:e] listen: with its variables put in, the value has the control "
        "character U+000A")


def test_environment_is_not_expanded_twice(ini):
    content = b"[listener:q]\nlisten = tcp://127.0.0.1:7017\nprotocol = qotd\nquote = ${QUOTE}\n"
    assert "quote = $${HOME} $$$$\n" in ini(content, "-T", QUOTE="${HOME} $$")[1]


@pytest.mark.parametrize("value, wrong", [
    (" x", "a blank at its start or end, where a file cannot hold one"),
    ("x ;y", '" ;" in it, where a comment would begin in a file'),
    ("x\x01", "the control character U+0001"),
    ("$" * 2000, "more bytes than a line of a file can hold"),
])
def test_environment_that_no_file_can_hold(ini, value, wrong):
    content = b"[listener:q]\nlisten = tcp://127.0.0.1:7017\nprotocol = qotd\nquote = ${QUOTE}\n"
    assert ini(content, QUOTE=value)[2] == (
        f"t.ini:4: [listener:q] quote: with its variables put in, the value has {wrong}\n"
        "t.ini: 1 error\n")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@needs_root
def test_root_refuses_what_everyone_writes(ini):
    assert ini(LISTENER, mode=0o646) == refused(
        "may be written by everyone, so root does not read it: chmod o-w")


@needs_root
def test_root_refuses_what_a_group_writes(ini, tmp_path):
    assert ini(LISTENER, mode=0o664)[0] == 0
    os.chown(tmp_path / "t.ini", 0, 12345)
    assert run(tmp_path, "-t", "-c", "t.ini") == refused(
        "may be written by its group, so root does not read it: chmod g-w")


@needs_root
def test_root_refuses_another_users_file(ini, tmp_path):
    assert ini(LISTENER)[0] == 0
    os.chown(tmp_path / "t.ini", 12345, 0)
    assert run(tmp_path, "-t", "-c",
               "t.ini") == refused("belongs to another user, so root does not read it: "
                                                         "chown root")


SPECS_GOOD = {
    "echo tcp://127.0.0.1:7": ["[listener:echo]", "listen = tcp://127.0.0.1:7"],
    "  echo\ttcp://127.0.0.1:7,udp://127.0.0.1:7  idle_timeout=5s ": [
        "listen = tcp://127.0.0.1:7,udp://127.0.0.1:7", "idle_timeout = 5s"],
    'qotd udp://127.0.0.1:7 quote="a \\"b\\" \\\\ c"': ['quote = a "b" \\ c'],
    'proxy tcp://127.0.0.1:7 upstream="tcp://10.0.0.5:80 weight=3, tcp://spare:80 backup" '
    'balance=source':
        ["upstream = tcp://10.0.0.5:80 weight=3, tcp://spare:80 backup", "balance = source"],
    r'proxy tcp://127.0.0.1:7 check="\"PING\r\n\" \"a\\\\b\"" upstream=unix:///x':
        [r'check = "PING\r\n" "a\\b"', "upstream = unix:///x"],
    "qotd udp://127.0.0.1:7 quote=it's": ["quote = it's"],
}


@pytest.mark.parametrize("spec", SPECS_GOOD)
def test_spec(tmp_path, spec):
    status, dump, errors = run(tmp_path, "-T", "-L", spec)
    assert (status, errors) == (0, "")
    assert set(SPECS_GOOD[spec]) <= set(dump.splitlines())


SPECS_BAD = {
    "": "expected PROTOCOL ADDRESS[,ADDRESS...] [key=value...]",
    "echo": "expected PROTOCOL ADDRESS[,ADDRESS...] [key=value...]",
    "ehco tcp://127.0.0.1:7": 'protocol: "ehco" is not a protocol, did you mean "echo"?',
    "echo 127.0.0.1:7": 'listen: "127.0.0.1:7" is not an address such as tcp://127.0.0.1:80, '
                        "udp://[::1]:53, unix:///run/x.sock, systemd:NAME",
    "echo tcp://127.0.0.1:7 backlog": '"backlog" is not key=value',
    "echo tcp://127.0.0.1:7 =5": '"=5" is not key=value',
    "echo tcp://127.0.0.1:7 baklog=5": 'baklog: unknown key, did you mean "backlog"?',
    "echo tcp://127.0.0.1:7 backlog=x": 'backlog: "x" is not a number such as 100',
    "echo tcp://127.0.0.1:7 backlog=5 backlog=6": "backlog: repeated key",
    "echo tcp://127.0.0.1:7 listen=udp://127.0.0.1:7":
        "listen: is said already: a -L begins with PROTOCOL ADDRESS[,ADDRESS...]",
    'echo tcp://127.0.0.1:7 backlog="5':
        "backlog: a value that begins with a quote and does not end with one",
    'echo tcp://127.0.0.1:7 backlog="5"6': "backlog: text right after the closing quote of a value",
    'qotd tcp://127.0.0.1:7 quote=" x"':
        "quote: the value has a blank at its start or end, where a file cannot hold one",
    'qotd tcp://127.0.0.1:7 quote="x ;y"':
        'quote: the value has " ;" in it, where a comment would begin in a file',
    "qotd tcp://127.0.0.1:7": "needs quote or file",
    "proxy tcp://127.0.0.1:7": "upstream: missing: every listener of protocol proxy needs it",
}


@pytest.mark.parametrize("spec", SPECS_BAD)
def test_bad_spec(tmp_path, spec):
    status, _, errors = run(tmp_path, "-t", "-L", spec)
    assert status == 1
    assert errors.splitlines()[0] == f"-L '{spec}': {SPECS_BAD[spec]}"
    assert len(errors.splitlines()) == 2


def test_spec_with_odd_bytes_is_escaped(tmp_path):
    errors = run(tmp_path, "-t", "-L", "echo tcp://127.0.0.1:7 \x1b[2J")[2]
    assert errors.splitlines()[0] == (
        "-L 'echo tcp://127.0.0.1:7 \\x1b[2J': the text has the control character U+001B")


def test_specs_get_names_of_their_own(ini):
    dump = ini(LISTENER, "-T", "-L", "echo tcp://127.0.0.1:1", "-L", "echo tcp://127.0.0.1:2")[1]
    assert [line for line in dump.splitlines() if line.startswith("[listener")] == [
        "[listener:echo]", "[listener:echo-2]", "[listener:echo-3]"]


def test_spec_conflicts_with_file(ini):
    assert ini(LISTENER, "-t", "-L", "echo tcp://127.0.0.1:7007")[2] == (
        "-L 'echo tcp://127.0.0.1:7007': listen: \"tcp://127.0.0.1:7007\" is already taken by "
        "[listener:echo] at t.ini:2\nt.ini: 1 error\n")
