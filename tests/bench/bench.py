#!/usr/bin/python3
"""Measures twined beside a raw epoll loop and whatever else is installed; see README.md."""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IDLE_CONNECTIONS = 9000
WARM_CONNECTIONS = 300
MANY_LISTENERS = 1000
PROXY_THREADS = 2
# Many short rounds: what disturbs a shared machine lasts for seconds, and so meets both of a pair.
# Two copies of one server then come out within 2 or 3 % of each other.
ROUND_SECONDS = 0.1
PEERS_EVERY = 5
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"

TWISTED = """
import sys
from twisted.internet import reactor
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.protocols import portforward, wire

class DatagramEcho(DatagramProtocol):
    def datagramReceived(self, data, peer):
        self.transport.write(data, peer)

kind, port = sys.argv[1], int(sys.argv[2])
if kind == "proxy":
    factory = portforward.ProxyFactory("127.0.0.1", int(sys.argv[3]))
else:
    factory = Factory.forProtocol(wire.Discard if kind == "discard" else wire.Echo)
if kind == "udp":
    reactor.listenUDP(port, DatagramEcho(), interface="127.0.0.1", maxPacketSize=65535)
else:
    reactor.listenTCP(port, factory, backlog=4096, interface="127.0.0.1")
reactor.run()
"""

SLOW = ("socat", "xinetd", "twisted")  # several times the floor: left out of a quick run

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
    ("proxy-echo", ECHO, "message", 1, "messages_per_s", "proxy", "haproxy", 0.95),
    ("proxy-connect", CONNECT, "conn", 1, "connections_per_s", "proxy", "haproxy", 0.85),
    ("proxy-bulk", ["bulk", "connections=2", "window=4"], "MB", 1e6, "bytes_per_s", "proxy",
     "haproxy", 0.60),
]
MEMORY_ROWS = [("memory", "echo", 400), ("proxy-memory", "proxy", 900)]
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


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# One command line a server, with the configuration its users would write.


def twined_command(bench, kind, port, upstream):
    scheme = "udp" if kind == "udp" else "tcp"
    protocol = "echo" if kind == "udp" else kind
    threads = PROXY_THREADS if kind == "proxy" else 1
    lines = ["[daemon]", f"threads = {threads}", "log_level = notice", "[listener:bench]",
             f"listen = {scheme}://127.0.0.1:{port}", f"protocol = {protocol}"]
    if upstream:
        lines.append(f"upstream = tcp://127.0.0.1:{upstream}")
    return [bench.twined, "-c", bench.write(f"twined-{port}.ini", "\n".join(lines) + "\n")]


def raw_command(bench, kind, port, _upstream):
    if kind == "proxy":
        return None
    return [str(bench.bindir / "rawloop"), {"chargen": "source"}.get(kind, kind), str(port)]


def haproxy_command(bench, kind, port, upstream):
    if kind != "proxy" or not shutil.which("haproxy"):
        return None
    text = f"""global
    nbthread {PROXY_THREADS}
    maxconn 9900
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bench
    bind 127.0.0.1:{port}
    server echo 127.0.0.1:{upstream}
"""
    return ["haproxy", "-db", "-f", bench.write(f"haproxy-{port}.cfg", text)]


def nginx_command(bench, kind, port, upstream):
    if kind != "proxy" or not shutil.which("nginx") or not Path(NGINX_STREAM).exists():
        return None
    text = f"""load_module {NGINX_STREAM};
daemon off;
worker_processes {PROXY_THREADS};
worker_rlimit_nofile 20000;
pid {bench.folder}/nginx-{port}.pid;
error_log stderr error;
events {{ worker_connections 19000; }}
stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{upstream}; }} }}
"""
    return ["nginx", "-c", bench.write(f"nginx-{port}.conf", text), "-e", "stderr"]


def socat_command(_bench, kind, port, upstream):
    if kind not in ("echo", "proxy") or not shutil.which("socat"):
        return None
    other = f"TCP:127.0.0.1:{upstream}" if upstream else "PIPE"
    return ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=4096", other]


def xinetd_command(bench, kind, port, _upstream):
    if kind not in ("echo", "udp", "discard", "chargen") or not shutil.which("xinetd"):
        return None
    service = "echo" if kind == "udp" else kind
    datagrams = kind == "udp"
    text = f"""service {service}
{{
    type = INTERNAL UNLISTED
    id = bench
    socket_type = {"dgram" if datagrams else "stream"}
    protocol = {"udp" if datagrams else "tcp"}
    wait = {"yes" if datagrams else "no"}
    user = root
    bind = 127.0.0.1
    port = {port}
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 1000000 1
}}
"""
    return ["xinetd", "-dontfork", "-f", bench.write(f"xinetd-{port}.conf", text),
            "-pidfile", str(bench.folder / f"xinetd-{port}.pid")]


def twisted_command(bench, kind, port, upstream):
    try:
        import twisted  # noqa: F401
    except ImportError:
        return None
    if kind == "chargen":
        return None
    script = bench.write("twisted_server.py", TWISTED)
    return [sys.executable, script, kind, str(port), str(upstream)]


COMMANDS = {"twined": twined_command, "raw": raw_command, "haproxy": haproxy_command,
            "nginx": nginx_command, "socat": socat_command, "xinetd": xinetd_command,
            "twisted": twisted_command}


class Server:
    """A running server, with a raw echo of its own behind it when it is a proxy."""

    def __init__(self, bench, name, kind):
        self.name, self.kind, self.bench = name, kind, bench
        self.socket_type = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
        self.port = free_port(self.socket_type)
        self.backend = None
        self.process = None
        if kind == "proxy":
            self.backend = Server(bench, "raw", "echo")
        command = COMMANDS["raw" if bench.null and name == "twined" else name]
        self.command = command(bench, kind, self.port, self.backend.port if self.backend else 0)

    def start(self):
        if self.backend:
            self.backend.start()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.errors,
                                        stderr=self.errors, start_new_session=True,
                                        env=self.bench.environment)
        if self.bench.pin and self.kind != "proxy":
            os.sched_setaffinity(self.process.pid, {0})
        limit = time.monotonic() + 5
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.errors.seek(0)
                text = self.errors.read().decode(errors="replace")
                self.stop()
                raise RuntimeError(f"{self.name} ({self.kind}) did not start: {text.strip()[:300]}")
            time.sleep(0.01)
        return self

    def answers(self):
        with socket.socket(socket.AF_INET, self.socket_type) as client:
            client.settimeout(0.2)
            try:
                client.connect(("127.0.0.1", self.port))
                if self.kind == "udp":
                    client.send(b"x")
                    client.recv(10)
                return True
            except OSError:
                return False

    def pids(self):
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    left += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def cpu(self):
        """Seconds of CPU of the whole tree, with the children it has reaped."""
        total = 0.0
        tick = os.sysconf("SC_CLK_TCK")
        for pid in self.pids():
            with contextlib.suppress(OSError):
                # The clock of clock_getcpuclockid(3): what stat counts in ticks, in nanoseconds.
                total += time.clock_gettime((~pid << 3) | 2)
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += (int(fields[13]) + int(fields[14])) / tick
        return total

    def private_bytes(self):
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                pass
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.backend:
            self.backend.stop()


def figures(line):
    return {key: float(value) for key, value in (word.split("=") for word in line.split())}


def run_load(bench, server, load, seconds):
    command = [str(bench.bindir / "load"), load[0], str(server.port), *load[1:],
               f"seconds={seconds}"]
    if bench.pin and server.kind != "proxy":
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


def ratios_of_rounds(cpu, name, reference):
    every = 1 if len(cpu[name]) == len(cpu[reference]) else PEERS_EVERY
    return [a / b for a, b in zip(cpu[name], cpu[reference][::every])]


def verdict(value, target):
    if target is None:
        return "no target"
    return f"target {target:g}: {'reached' if value <= target else 'MISSED'}"


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
        for number in range(bench.rounds):
            # The pair that is compared changes its order each round, so that a drift cancels out.
            turn = servers if number % 2 == 0 else servers[1::-1] + servers[2:]
            for server in turn:
                if number % PEERS_EVERY and server.name not in ("twined", reference):
                    continue
                result = run_load(bench, server, load, bench.seconds)
                each = result["cpu"] * 1e6 / (result["count"] / scale)
                cpu.setdefault(server.name, []).append(each)
                seen.setdefault(server.name, []).append(result)
    for server in order:
        if server not in cpu:
            continue
        rate = statistics.median(r[rate_key] for r in seen[server]) / scale
        p50, p99 = (statistics.median(r[k] for r in seen[server]) for k in ("p50_us", "p99_us"))
        label = "raw again" if bench.null and server == "twined" else server
        line = (f"{name:14} {label:9} {statistics.median(cpu[server]):9.3f} us/{unit:8}"
                f"{span(cpu[server]):>16} {rate:11.0f}/s {p50:7.0f} {p99:7.0f}")
        if server != reference and reference in cpu:
            ratios = ratios_of_rounds(cpu, server, reference)
            ratio = statistics.median(ratios)
            line += f"  {ratio:5.2f} x {reference} ({quartiles(ratios)})"
            if server == "twined" and not bench.null:
                line += f"  {verdict(round(ratio, 3), target)}"
        print(line, flush=True)


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


def measure_memory(bench, name, kind, target):
    names = ["twined", "raw"] if kind == "echo" else ["twined", "haproxy", "nginx"]
    more = IDLE_CONNECTIONS - WARM_CONNECTIONS
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
            value = statistics.median(bytes_each)
            line = f"{name:14} {server_name:9} {value:9.0f} B/conn {span(bytes_each):>19}"
            if server_name == "twined":
                line += f"  {verdict(value, target)}"
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
    names = [row[0] for row in ROWS] + [row[0] for row in MEMORY_ROWS] + START_ROWS
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
