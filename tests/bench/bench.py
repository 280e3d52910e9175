#!/usr/bin/python3
"""Measures twined beside a raw epoll loop and whatever else is installed; see README.md."""

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from servers import COMMANDS, MANY_UPSTREAMS, SLOW, Server

IDLE_CONNECTIONS = 9000
WARM_CONNECTIONS = 300
MANY_LISTENERS = 1000
# Many short rounds: what disturbs a shared machine lasts for seconds, and so meets both of a pair.
# Two copies of one server then come out within 2 or 3 % of each other.
ROUND_SECONDS = 0.1
PEERS_EVERY, SLOW_EVERY = 5, 10
PACED_SECONDS = 0.2
# Of what the slower of two reaches when each message waits for the one before: far below saturation, where
# few messages are served together, and each takes more.
PACED_SHARE = 1 / 6

# name, load arguments, unit of the CPU figure, how many counted things make one unit, rate's key,
# kind of server, who is the reference, target
ECHO = ["echo", "connections=32", "bytes=64"]
CONNECT = ["connect", "connections=16", "bytes=64"]
UDP = ["udp", "connections=4", "window=16", "bytes=64"]
ROWS = [
    ("echo", ECHO, "message", 1, "messages_per_s", "echo", "raw", 1.08),
    ("connect", CONNECT, "conn", 1, "connections_per_s", "echo", "raw", 1.10),
    ("bulk", ["bulk", "connections=1", "window=1"], "MB", 1e6, "bytes_per_s", "echo", "raw", 1.05),
    ("udp", UDP, "dgram", 1, "datagrams_per_s", "udp", "raw", 0.95),
    ("discard", ["sink", "connections=2"], "MB", 1e6, "bytes_per_s", "discard", "raw", 1.05),
    ("chargen", ["source", "connections=2"], "MB", 1e6, "bytes_per_s", "chargen", "raw", None),
    ("proxy-echo", ECHO, "message", 1, "messages_per_s", "proxy", "haproxy", 0.85),
    ("proxy-connect", CONNECT, "conn", 1, "connections_per_s", "proxy", "haproxy", 0.80),
    ("proxy-bulk", ["bulk", "connections=2", "window=4"], "MB", 1e6, "bytes_per_s", "proxy",
     "haproxy", 0.50),
    ("proxy-udp", UDP, "dgram", 1, "datagrams_per_s", "proxy-udp", "nginx", 0.70),
]
# name, who is the reference, target
LATENCY_ROWS = [("proxy-p99", "haproxy", 1.0)]
# name, kind of the plain server and of the one with more, idle connections of that one, what there is more,
# target
COST_ROWS = [
    ("proxy-many", "proxy", "proxy-many", 0, f"{MANY_UPSTREAMS} upstreams", 1.1),
    ("proxy-idle", "proxy", "proxy", IDLE_CONNECTIONS, f"{IDLE_CONNECTIONS:,} idle", 1.1),
]
# name, kind, target in bytes, target as a share of HAProxy's
MEMORY_ROWS = [("memory", "echo", 400, None), ("proxy-memory", "proxy", 900, 0.30)]
START_ROWS = ["start"]


class Bench:
    """What was asked for, and where things are."""

    def __init__(self, arguments, folder):
        self.bindir = Path(arguments.bindir)
        self.folder = Path(folder)
        self.twined = arguments.twined
        self.quick = arguments.quick
        self.null = arguments.null
        self.pin = arguments.pin
        self.rounds = arguments.rounds or (15 if self.quick else 50)
        self.seconds = arguments.seconds or ROUND_SECONDS
        self.deadline = time.monotonic() + (55 if self.quick else 290)
        self.environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        self.environment["LC_ALL"] = "C"

    def out_of_time(self):
        return time.monotonic() > self.deadline

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)


def figures(line):
    return {key: float(value) for key, value in (word.split("=") for word in line.split())}


def run_load(bench, server, load, seconds):
    command = [str(bench.bindir / "load"), load[0], str(server.port), *load[1:],
               f"seconds={seconds}"]
    if bench.pin and not server.proxies:
        command = ["taskset", "-c", "1", *command]
    before = server.cpu()
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 15)
    if result.returncode != 0:
        raise RuntimeError(f"{server.name}: {result.stderr.strip()}")
    # What the server has still to do for connections that have just ended belongs to them.
    time.sleep(0.02)
    seen = figures(result.stdout)
    seen["cpu"] = server.cpu() - before
    return seen


def start_servers(bench, kind, names, stack):
    servers = []
    for name in names:
        server = Server(bench, name, kind)
        if server.command is None or (name == "twined" and not bench.twined and not bench.null):
            continue
        if bench.quick and name in SLOW:
            continue
        try:
            servers.append(server.start())
            stack.callback(server.stop)
        except RuntimeError as error:
            print(f"  left out: {error}")
    return servers


def span(values):
    return f"{min(values):.3g}-{max(values):.3g}"


def quartiles(values):
    if len(values) < 4:
        return span(values)
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.2f}-{high:.2f}"


def ratios_of_rounds(values, name, reference):
    """The ratios in the rounds that both have been in."""
    return [value / values[reference][number] for number, value in values[name].items()
            if number in values[reference]]


def verdict(value, target):
    if target is None:
        return "no target"
    return f"target {target:g}: {'reached' if value <= target else 'MISSED'}"


def median(values):
    return statistics.median(values.values())


def turns(bench, servers, reference):
    """Who is measured next: (number of the round, server). Those without a target take part seldom."""
    for number in range(bench.rounds):
        # The pair that is compared changes its order each round, so that a drift cancels out.
        for server in servers if number % 2 == 0 else servers[1::-1] + servers[2:]:
            every = (1 if server.name in ("twined", reference)
                     else SLOW_EVERY if server.name in SLOW else PEERS_EVERY)
            if number % every == 0:
                yield number, server


def measure_row(bench, row):
    name, load, unit, scale, rate_key, kind, reference, target = row
    order = ["twined", reference] + [n for n in COMMANDS if n not in ("twined", reference)]
    cpu, seen = {}, {}
    with contextlib.ExitStack() as stack:
        servers = start_servers(bench, kind, order, stack)
        for server in list(servers):
            try:
                run_load(bench, server, load, 0.2)
            except RuntimeError as error:
                print(f"  left out: {error}")
                servers.remove(server)
        for number, server in turns(bench, servers, reference):
            result = run_load(bench, server, load, bench.seconds)
            each = result["cpu"] * 1e6 / (result["count"] / scale)
            cpu.setdefault(server.name, {})[number] = each
            seen.setdefault(server.name, []).append(result)
    for server in order:
        if server not in cpu:
            continue
        rate = statistics.median(r[rate_key] for r in seen[server]) / scale
        p50, p99 = (statistics.median(r[k] for r in seen[server]) for k in ("p50_us", "p99_us"))
        label = "raw again" if bench.null and server == "twined" else server
        line = (f"{name:14} {label:9} {median(cpu[server]):9.3f} us/{unit:8}"
                f"{span(cpu[server].values()):>16} {rate:11.0f}/s {p50:7.0f} {p99:7.0f}")
        if server != reference and reference in cpu:
            ratios = ratios_of_rounds(cpu, server, reference)
            ratio = statistics.median(ratios)
            line += f"  {ratio:5.2f} x {reference} ({quartiles(ratios)})"
            if server == "twined" and not bench.null:
                line += f"  {verdict(round(ratio, 3), target)}"
        print(line, flush=True)


def measure_latency(bench, name, reference, target):
    """The p99 at one rate, which both can serve with ease."""
    p50, p99, cpu = {}, {}, {}
    with contextlib.ExitStack() as stack:
        servers = start_servers(bench, "proxy", ["twined", reference, "nginx"], stack)
        reached = [run_load(bench, server, ECHO, 0.3)["messages_per_s"] for server in servers]
        rate = int(min(reached) * PACED_SHARE)
        load = ["paced", "connections=32", "bytes=64", f"rate={rate}"]
        for number, server in turns(bench, servers, reference):
            result = run_load(bench, server, load, PACED_SECONDS)
            p50.setdefault(server.name, {})[number] = result["p50_us"]
            p99.setdefault(server.name, {})[number] = result["p99_us"]
            cpu.setdefault(server.name, {})[number] = result["cpu"] * 1e6 / result["count"]
    for server in p99:
        line = (f"{name:14} {server:9} {median(cpu[server]):9.3f} us/message "
                f"{span(cpu[server].values()):>15} {rate:11.0f}/s {median(p50[server]):7.0f} "
                f"{median(p99[server]):7.0f}")
        if server != reference and reference in p99:
            ratios = ratios_of_rounds(p99, server, reference)
            ratio = statistics.median(ratios)
            line += f"  {ratio:5.2f} x {reference} in p99 ({quartiles(ratios)})"
            if server == "twined" and not bench.null:
                line += f"  {verdict(round(ratio, 3), target)}"
        print(line, flush=True)


def measure_cost(bench, name, kinds, idle, more, target):
    """What a connection costs twined beside what it costs the same twined with more to look after."""
    cpu = {}
    with contextlib.ExitStack() as stack:
        servers = [start_servers(bench, kind, ["twined"], stack) for kind in kinds]
        if not all(servers):
            return
        plain, loaded = servers[0][0], servers[1][0]
        if idle:
            stack.enter_context(idle_clients(bench, loaded, idle))
        for number in range(-1, bench.rounds):
            for server in (plain, loaded) if number % 2 == 0 else (loaded, plain):
                result = run_load(bench, server, CONNECT, bench.seconds)
                cpu.setdefault(server, {})[number] = result["cpu"] * 1e6 / result["count"]
    for values in cpu.values():
        del values[-1]
    ratios = ratios_of_rounds(cpu, loaded, plain)
    ratio = statistics.median(ratios)
    print(f"{name:14} twined    {median(cpu[loaded]):9.3f} us/conn    "
          f"{span(cpu[loaded].values()):>13} with {more}, {median(cpu[plain]):.3f} without  "
          f"{ratio:5.2f} ({quartiles(ratios)})  {verdict(round(ratio, 3), target)}", flush=True)


@contextlib.contextmanager
def idle_clients(bench, server, count):
    command = [str(bench.bindir / "load"), "idle", str(server.port), f"connections={count}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if "ready=1" not in process.stdout.readline():
            raise RuntimeError(f"{server.name}: {count} idle connections could not be opened")
        yield
    finally:
        process.stdin.close()
        process.wait(10)


def measure_memory(bench, name, kind, target, share):
    names = ["twined", "raw"] if kind == "echo" else ["haproxy", "twined", "nginx"]
    more = IDLE_CONNECTIONS - WARM_CONNECTIONS
    values = {}
    for server_name in names:
        bytes_each = []
        for _ in range(1 if bench.quick else 3):
            with contextlib.ExitStack() as stack:
                servers = start_servers(bench, kind, [server_name], stack)
                if not servers:
                    break
                stack.enter_context(idle_clients(bench, servers[0], WARM_CONNECTIONS))
                before = servers[0].private_bytes()
                stack.enter_context(idle_clients(bench, servers[0], more))
                bytes_each.append((servers[0].private_bytes() - before) / more)
        if bytes_each:
            value = values[server_name] = statistics.median(bytes_each)
            line = f"{name:14} {server_name:9} {value:9.0f} B/conn {span(bytes_each):>19}"
            if server_name == "twined":
                line += f"  {verdict(value, target)}"
                if share and "haproxy" in values:
                    ratio = value / values["haproxy"]
                    line += f"  {ratio:5.2f} x haproxy  {verdict(round(ratio, 3), share)}"
            print(line, flush=True)


def many_listeners(bench, ports, changed):
    lines = ["[daemon]", "log_level = notice"]
    for number, port in enumerate(ports):
        lines += [f"[listener:l{number}]", f"listen = tcp://127.0.0.1:{port}",
                  f"protocol = {'discard' if changed and number == 500 else 'echo'}"]
    return bench.write("many.ini", "\n".join(lines) + "\n")


def wait_for(notify, word):
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        notify.settimeout(10)
        states = notify.recv(65536).decode().splitlines()
        if word in states:
            return time.monotonic()
    raise RuntimeError(f"twined: no {word} in 10 s")


def measure_start(bench):
    if not bench.twined:
        return
    ports, port = [], 20000
    while len(ports) < MANY_LISTENERS:
        port += 1
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    starts, reloads, signals = [], [], []
    for _ in range(2 if bench.quick else 5):
        path = str(bench.folder / "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            config = many_listeners(bench, ports, False)
            begun = time.monotonic()
            environment = {**bench.environment, "NOTIFY_SOCKET": path}
            process = subprocess.Popen([bench.twined, "-c", config], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=environment)
            try:
                starts.append((wait_for(notify, "READY=1") - begun) * 1e3)
                for changed in (True, False, True):
                    many_listeners(bench, ports, changed)
                    begun = time.monotonic()
                    process.send_signal(signal.SIGHUP)
                    reloading = wait_for(notify, "RELOADING=1")
                    ready = wait_for(notify, "READY=1")
                    reloads.append((ready - reloading) * 1e3)
                    signals.append((ready - begun) * 1e3)
            finally:
                process.kill()
                process.wait()
    rows = (("start", starts, 100), ("reload", reloads, 20), ("reload from HUP", signals, None))
    for name, values, target in rows:
        value = statistics.median(values)
        print(f"{name:15} twined {value:9.1f} ms of {MANY_LISTENERS} listeners {span(values):>10}"
              f"  {verdict(value, target)}", flush=True)


def run(bench, only):
    print("CPU: of the server (all its processes and threads), median and range of the rounds;\n"
          "ratios: median and quartiles of the rounds' own ratios; latency in us as the client\n"
          "saw it; MB: 1,000,000 bytes; servers have one thread, proxies two")
    print(f"{'work':14} {'server':9} {'CPU':>9}{'range':>28} {'rate':>13} {'p50':>7} {'p99':>7}"
          "  ratio of CPU (quartiles)")
    steps = [(row[0], measure_row, (row,)) for row in ROWS]
    steps += [(row[0], measure_latency, row) for row in LATENCY_ROWS]
    steps += [(name, measure_cost, (name, (plain, loaded), *rest))
              for name, plain, loaded, *rest in COST_ROWS]
    steps += [(row[0], measure_memory, row) for row in MEMORY_ROWS]
    steps.append(("start", measure_start, ()))
    for name, step, arguments in steps:
        if only and name not in only:
            continue
        if bench.out_of_time():
            print(f"{name:14} left out: out of time")
            continue
        try:
            step(bench, *arguments)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(f"{name:14} failed: {error}")


def main():
    names = [row[0] for row in ROWS + LATENCY_ROWS + COST_ROWS + MEMORY_ROWS] + START_ROWS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bindir", default=".", help="where load and rawloop are")
    parser.add_argument("--twined", default=os.environ.get("TWINED"),
                        help="the daemon (default: $TWINED)")
    parser.add_argument("--only", default="", help=f"rows, comma-separated: {' '.join(names)}")
    parser.add_argument("--quick", action="store_true",
                        help="fewer rounds, fewer peers, within a minute")
    parser.add_argument("--rounds", type=int,
                        help="rounds for twined and what it is compared with")
    parser.add_argument("--seconds", type=float, help="length of a round")
    parser.add_argument("--pin", action="store_true",
                        help="one-threaded servers on CPU 0, the client on CPU 1")
    parser.add_argument("--null", action="store_true",
                        help="a second raw loop in twined's place: the noise")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    for name in only:
        if name not in names:
            parser.error(f'--only: "{name}" is none of {" ".join(names)}')
    if arguments.twined:
        arguments.twined = os.path.abspath(arguments.twined)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run(Bench(arguments, folder), only)


if __name__ == "__main__":
    main()
