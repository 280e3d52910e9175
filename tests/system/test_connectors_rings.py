"""connector: rings, whose lines would go round for ever."""

import itertools
import os
import random

import pytest

from support import run
from test_connectors import connector, hub, join, read_line, remote	# the last is a fixture

HUBS = "abcde"
ROLES = ("in", "out", "both", "both")


class Network:
    """Hubs a, b, c..., and connectors between them and to the servers 1 and 2, by chance."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.hubs = HUBS[:chance.randint(2, len(HUBS))]
        self.roles = {name: chance.choice(ROLES) for name in self.hubs}
        self.connectors = []
        for _ in range(chance.randint(2, 5)):
            own = chance.choice(self.hubs)
            ends = [name for name in self.hubs + "12" if name != own]
            self.connectors.append((own, chance.sample(ends, chance.randint(1, 2)),
                                    chance.choice(ROLES)))

    @staticmethod
    def address(end):
        return f"tcp://192.0.2.{end}:7000" if end in "12" else f"tcp://127.0.0.1:{7000 + ord(end)}"

    def config(self):
        return "".join([hub(name, listen=self.address(name), role=self.roles[name])
                        for name in self.hubs]
                       + [connector(f"c{number}", ", ".join(map(self.address, ends)), hub=own,
                                    role=role)
                          for number, (own, ends, role) in enumerate(self.connectors)])

    def goes_round(self, chosen):
        """Whether a line of some hub is still on its way after many steps: each connector is
        connected to one end, and at each hub a line goes to all members but its sender."""
        places = [(own, end) for (own, _, _), end in zip(self.connectors, chosen)]

        def passes(number, side):
            """From one side of a connection, the connector's being 0, to the other."""
            stopping = ("in", "out") if side == 0 else ("out", "in")
            return (self.connectors[number][2] != stopping[0]
                    and self.roles.get(places[number][1]) != stopping[1])

        for start in set(itertools.chain(*places)):
            lines = {(start, None)}
            for _ in range(4 * len(places)):
                lines = {(places[number][1 - side], (number, 1 - side))
                         for at, sender in lines
                         for number, side in itertools.product(range(len(places)), (0, 1))
                         if places[number][side] == at and (number, side) != sender
                         and passes(number, side)}
            if lines:
                return True
        return False

    def may_go_round(self):
        return any(self.goes_round(chosen)
                   for chosen in itertools.product(*(ends for _, ends, _ in self.connectors)))


def test_what_may_go_round_is_refused_and_nothing_else(tmp_path):
    path = tmp_path / "twined.ini"
    seen = {True: 0, False: 0}
    for seed in range(100):
        network = Network(seed)
        path.write_text(network.config(), encoding="ascii")
        path.chmod(0o644)
        done = run("-t", "-c", str(path))
        seen[network.may_go_round()] += 1
        assert (done.returncode == 1) == network.may_go_round(), \
            f"{seed}:\n{network.config()}{done.stderr}"
    assert min(seen.values()) > 20


def test_a_reload_into_a_ring_changes_nothing(twined, remote):
    far = remote()
    up = connector("up", far.address, hub="hub")
    daemon = twined(hub() + up, errors="makes a ring|reload failed")
    peer, member = far.accept(), join(daemon)
    done = daemon.reload(hub() + up + connector("down", far.address, hub="hub"))
    assert done.returncode == 1
    assert f'connect: "{far.address}" makes a ring with [connector:up]' in done.stderr
    peer.sendall(b"still\n")
    assert read_line(member) == b"still\n"


@pytest.mark.parametrize("kind", ["fifo", "file", "missing", "device"])
def test_a_file_that_one_reads_and_another_writes_is_a_ring_and_a_device_is_none(tmp_path, kind):
    path = tmp_path / "lines"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "file":
        path.touch()
    elif kind == "device":
        path.symlink_to("/dev/null")
    config = tmp_path / "twined.ini"
    config.write_text(connector("in", f"file://{path}", hub="x", role="in")
                      + connector("out", f"file://{path}", hub="x", role="out"), encoding="ascii")
    config.chmod(0o644)
    done = run("-t", "-c", str(config))
    is_ring = f'"file://{path}" makes a ring with [connector:out]' in done.stderr
    assert is_ring == (kind != "device")
