"""The documentation: manual pages, sample configuration and README say what the option tables say."""

import os
import re
import shutil
import subprocess

import pytest

from support import PATIENCE, SOURCE, run

ITEM = re.compile(r'^\.It Ic (\w+) Pq "(.*); (?:default (.*)|(required|no default))"$')
ROW = re.compile(r"^  (\w+) = (.*)\n      (.*)\n      (.*)$", re.M)
COMMON = "The keys of every listener"


def source(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def described(name):
    """What -l prints of a name: the rows of its own table and of the common one, as key: (type, default)."""
    result = run("-l", name)
    assert result.returncode == 0, result.stderr
    own, _, common = result.stdout.partition(COMMON)
    words = {"(required)": "required", "(unset)": "no default"}
    tables = [{row[1]: (row[3], words.get(row[2], row[2])) for row in ROW.finditer(part)}
              for part in (own, common)]
    # Were a row not understood, it would not be compared.
    assert sum(map(len, tables)) == len(re.findall(r"^  \w", result.stdout, re.M)), result.stdout
    return tables


def protocol_names():
    return [line.split()[0] for line in run("-l").stdout.splitlines()]


@pytest.fixture(scope="module")
def tables():
    """Every option table, as the binary says it: daemon, listener, and one a protocol."""
    found = {"daemon": described("daemon")[0], "listener": described("echo")[1]}
    found.update({name: described(name)[0] for name in protocol_names()})
    assert found["daemon"] and found["listener"] and found["relay"]
    return found


def manual_sections(page):
    """The text of each .Sh and .Ss of a manual page."""
    parts = re.split(r"^\.S[hs] (.*)\n", page, flags=re.M)
    names = [name.strip('"') for name in parts[1::2]]
    assert len(set(names)) == len(names), names
    return dict(zip(names, parts[2::2]))


def manual_items(text):
    items = {}
    for line in text.splitlines():
        if not line.startswith(".It Ic "):
            continue
        item = ITEM.match(line)
        assert item, f"not .It Ic NAME Pq \"TYPE; default DEFAULT\": {line}"
        assert item[1] not in items, f"{item[1]} stands there twice"
        items[item[1]] = (item[2], item[3] or item[4])
    return items


def test_the_manual_has_every_option_with_its_type_range_and_default_and_no_other(tables):
    sections = manual_sections(source("conf", "twined.ini.5"))
    headings = {"daemon": "DAEMON KEYS", "listener": "LISTENER KEYS"}
    documented = {name: manual_items(sections[headings.get(name, name)]) for name in tables}
    assert documented == tables
    known = {headings.get(name, name) for name in tables}
    assert not [name for name in sections if name not in known and manual_items(sections[name])]


def test_the_manual_explains_every_option(tables):
    page = source("conf", "twined.ini.5")
    bare = [name for table in tables.values() for name in table
            if re.search(rf"^\.It Ic {name} .*\n\.(It|El)", page, re.M)]
    assert not bare


def test_the_manual_says_where_a_protocol_has_a_default_of_its_own(tables):
    sections = manual_sections(source("conf", "twined.ini.5"))
    said = re.compile(r"^The default of\n\.Ic (\w+)\nis (\S+) here\.$", re.M)
    for name in protocol_names():
        differing = {key: default for key, (_, default) in described(name)[1].items()
                     if default != tables["listener"][key][1]}
        assert dict(said.findall(sections[name])) == differing, name


def sample_sections():
    """Each section of the sample: its active keys, and those that are commented out."""
    sections = {}
    for line in source("conf", "twined.ini").splitlines():
        if line.startswith("["):
            active, commented = sections[line[1:-1]] = ({}, {})
        elif line and not line.startswith("#"):
            key, value = re.fullmatch(r";?(\w+) = (.*)", line).groups()
            assert key not in active and key not in commented, line
            (commented if line.startswith(";") else active)[key] = value
    return sections


def sample_listeners():
    return {name: keys for name, keys in sample_sections().items() if name.startswith("listener:")}


def test_the_sample_has_every_option_and_no_other(tables):
    sections = sample_sections()
    shown = {name: set(active) | set(commented) for name, (active, commented) in sections.items()}
    assert shown.pop("daemon") == set(tables["daemon"])
    common = shown.pop("defaults")
    assert common | {"listen", "protocol", "enabled"} == set(tables["listener"])
    assert "enabled" in set().union(*shown.values())
    assert {active["protocol"] for active, _ in sample_listeners().values()} == set(protocol_names())
    for name, (active, _) in sample_listeners().items():
        own = set(tables[active["protocol"]])
        assert own <= shown[name], f"[{name}] lacks options of {active['protocol']}"
        assert shown[name] <= own | set(tables["listener"]), f"[{name}] has keys that are none"


def test_what_the_sample_has_commented_out_is_the_default(tables):
    wrong = []
    for name, (active, commented) in sample_sections().items():
        table = {"daemon": tables["daemon"], "defaults": tables["listener"]}.get(name)
        if table is None:
            own, common = described(active["protocol"])
            table = {**common, **own}
        for key, value in commented.items():
            assert table[key][1] != "required", f"[{name}] {key}"
            if table[key][1] not in ("no default", value):
                wrong.append(f"[{name}] {key} = {value}: the default is {table[key][1]}")
    assert not wrong


def test_activating_the_defaults_of_the_sample_changes_nothing(tables, directory):
    unset = {key for table in tables.values() for key, (_, default) in table.items()
             if default == "no default"}
    text = re.sub(r"^;(\w+) =", lambda line: line[0] if line[1] in unset else f"{line[1]} =",
                  source("conf", "twined.ini"), flags=re.M)
    path = os.path.join(directory, "twined.ini")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    changed, shipped = run("-T", "-c", path), run("-T", "-c", os.path.join(SOURCE, "conf/twined.ini"))
    assert (changed.returncode, changed.stderr) == (0, "")
    assert changed.stdout == shipped.stdout


def test_the_sample_is_valid_and_runs_as_anyone_on_loopback():
    result = run("-t", "-c", os.path.join(SOURCE, "conf", "twined.ini"))
    assert (result.returncode, result.stderr) == (0, "")
    for active, _ in sample_listeners().values():
        for address in active["listen"].split(", "):
            port = re.fullmatch(r"(?:tcp|udp)://127\.0\.0\.1:(\d+)", address)[1]
            assert int(port) > 1024


def help_options():
    """The options of --help: {"-c", "--config", ...}."""
    lines = re.findall(r"^ +(?:(-\w), )?(--[a-z]+)", run("--help").stdout, re.M)
    return {option for pair in lines for option in pair if option}


def test_the_manual_has_every_command_line_option_and_no_other():
    options = manual_sections(source("daemon", "twined.8"))["DESCRIPTION"]
    items = re.findall(r"^\.It (Fl .*)$", options, re.M)
    documented = {f"-{word}" for item in items for word in re.findall(r"(?:Fl|,) (?!Fl)(-?\w+)", item)}
    assert help_options() == documented


def test_help_has_every_option_that_the_command_line_takes():
    table = source("daemon", "service", "options.c")
    taken = re.findall(r"""^\t\{ "([a-z]+)", \w+_argument, NULL, (?:'(\w)'|\w+) \}""", table, re.M)
    assert taken
    assert help_options() == {option for name, letter in taken
                              for option in (f"--{name}", f"-{letter}") if option != "-"}


def manual_words(section):
    text = manual_sections(source("daemon", "twined.8"))[section]
    return re.findall(r"^\.It Cm (\w+)$", text, re.M)


def test_the_manual_has_every_reason_for_closing_and_no_other():
    reasons = re.findall(r'^\tX\(\w+, "(\w+)"\)', source("daemon", "net", "reason.h"), re.M)
    assert reasons
    assert manual_words("Why connections end") == reasons


def test_the_manual_has_every_reason_for_not_answering_a_datagram_and_no_other():
    words = re.findall(r'\[DROP_\w+\] = "(\w+)"', source("daemon", "net", "tally.c"))
    assert words
    assert manual_words("The summary") == words


@pytest.mark.parametrize("page", ["daemon/twined.8", "conf/twined.ini.5"])
def test_mandoc_has_nothing_to_say(page):
    assert shutil.which("mandoc"), "mandoc is missing: ./bootstrap installs it"
    result = subprocess.run(["mandoc", "-Tlint", "-W", "warning", os.path.join(SOURCE, page)],
                            capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def check_ini(directory, text):
    path = os.path.join(directory, "twined.ini")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    result = run("-t", "-c", path)
    assert (result.returncode, result.stderr) == (0, ""), text


def test_the_examples_of_the_manual_are_valid(directory):
    examples = manual_sections(source("conf", "twined.ini.5"))["EXAMPLES"]
    blocks = re.findall(r"^\.Bd -literal.*\n(\[listener:(?:.*\n)*?)\.Ed$", examples, re.M)
    assert len(blocks) == examples.count("[listener:")
    for block in blocks:
        check_ini(directory, block.replace("\\e", "\\"))		# as mandoc prints it


def test_the_readme_has_its_two_lines():
    lines = source("README.md").splitlines()
    for line in ("./bootstrap && make run", "./bootstrap && make check"):
        assert lines.count(f"    {line}") == 1, line


def test_the_example_of_the_readme_is_valid(directory):
    blocks = re.findall(r"^```ini\n(.*?)^```$", source("README.md"), re.M | re.S)
    assert len(blocks) == 1
    check_ini(directory, blocks[0])


def test_the_readme_shows_the_echo_that_is_built():
    code = re.search(r"^```c\n(.*?)^```$", source("README.md"), re.M | re.S)[1]
    built = source("daemon", "protocols", "echo.c")
    for part in code.rstrip("\n").split("\n\n"):
        assert part in built, part


def test_the_readme_lists_every_protocol():
    table = re.findall(r"^\| `(\w+)` \|", source("README.md"), re.M)
    assert sorted(table) == protocol_names()


def readme_commands():
    """The netcat examples of the README: (command, output)."""
    text = source("README.md").partition("## Ask it with netcat\n")[2].partition("\n## ")[0]
    blocks = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    commands = []
    for line in blocks:
        if line.startswith("$ "):
            commands.append((re.sub(r" +#.*", "", line[2:]), []))
        else:
            commands[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in commands if "nc " in command]


# What differs each time.
VARYING = [
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+]0000", "DATE"),
    (r"00000000: [0-9a-f]{4} [0-9a-f]{4} {30,}.{4}", "SECONDS"),
]


def without_varying(text):
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text.replace("\r", ""))
    return text.rstrip("\n")


def test_the_netcat_examples_of_the_readme_say_what_it_says(twined):
    sample = source("conf", "twined.ini").replace("include = ", ";include = ")
    ports = {re.search(r":(\d+)", active["listen"])[1]: name.removeprefix("listener:")
             for name, (active, _) in sample_listeners().items()}
    echo, _, proxy = re.sub(r"^(listen = .*)$", lambda line: re.sub(r":7\d\d\d", ":0", line[0]), sample,
                            flags=re.M).partition("[listener:proxy]")
    daemon = twined(echo)
    upstream = twined("[listener:proxy]" + proxy.replace("tcp://127.0.0.1:7007", daemon.address("echo")))
    commands = readme_commands()
    assert len(commands) >= 7
    for command, output in commands:
        port = re.search(r"127\.0\.0\.1 (\d+)", command)[1]
        name = ports[port]
        real = (upstream if name == "proxy" else daemon).port(name, "udp" if " -u " in command else "tcp")
        result = subprocess.run(command.replace(port, str(real)), shell=True, capture_output=True,
                                timeout=PATIENCE, check=False)
        assert without_varying(result.stdout.decode()) == without_varying(output), command
