"""The servers of the benchmark: how each is configured and started, and what it uses."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROXY_THREADS = 2
MANY_UPSTREAMS = 165  # what the longest line of a configuration, 4,000 bytes, has room for
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
SLOW = ("socat", "xinetd", "twisted")  # several times the floor: left out of a quick run

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


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# One command line a server, with the configuration its users would write. Kinds are services, "udp" for
# the echo of datagrams, "proxy" and "proxy-udp"; "proxy-many" has MANY_UPSTREAMS addresses to proxy to.


def twined_command(bench, kind, port, upstream):
    scheme = "udp" if kind.endswith("udp") else "tcp"
    proxies = kind.startswith("proxy")
    protocol = "proxy" if proxies else "echo" if kind == "udp" else kind
    lines = ["[daemon]", f"threads = {PROXY_THREADS if proxies else 1}", "log_level = notice",
             "[listener:bench]", f"listen = {scheme}://127.0.0.1:{port}", f"protocol = {protocol}"]
    if kind == "proxy-many":
        lines.append("upstream = " + ",".join(f"tcp://127.0.0.{number + 1}:{upstream}"
                                              for number in range(MANY_UPSTREAMS)))
    elif proxies:
        lines.append(f"upstream = {scheme}://127.0.0.1:{upstream}")
    return [bench.twined, "-c", bench.write(f"twined-{port}.ini", "\n".join(lines) + "\n")]


def raw_command(bench, kind, port, _upstream):
    if kind.startswith("proxy"):
        return None
    work = {"chargen": "source", "echo-many": "echo"}.get(kind, kind)
    command = [str(bench.bindir / "rawloop"), work, str(port)]
    return command + ["everywhere"] if kind == "echo-many" else command


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
    if (kind not in ("proxy", "proxy-udp") or not shutil.which("nginx")
            or not Path(NGINX_STREAM).exists()):
        return None
    # reuseport: as its manual says, for datagrams of one client to be of one session.
    listen = f"127.0.0.1:{port}" + (" udp reuseport" if kind == "proxy-udp" else "")
    text = f"""load_module {NGINX_STREAM};
daemon off;
worker_processes {PROXY_THREADS};
worker_rlimit_nofile 20000;
pid {bench.folder}/nginx-{port}.pid;
error_log stderr error;
events {{ worker_connections 19000; }}
stream {{ server {{ listen {listen}; proxy_pass 127.0.0.1:{upstream}; }} }}
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
        self.datagrams = kind.endswith("udp")
        self.proxies = kind.startswith("proxy")
        self.socket_type = socket.SOCK_DGRAM if self.datagrams else socket.SOCK_STREAM
        self.port = free_port(self.socket_type)
        self.backend = None
        self.process = None
        if self.proxies:
            self.backend = Server(bench, "raw", "udp" if self.datagrams else
                                  "echo-many" if kind == "proxy-many" else "echo")
        command = COMMANDS["raw" if bench.null and name == "twined" else name]
        self.command = command(bench, kind, self.port, self.backend.port if self.backend else 0)

    def start(self):
        if self.backend:
            self.backend.start()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.errors,
                                        stderr=self.errors, start_new_session=True,
                                        env=self.bench.environment)
        if self.bench.pin and not self.proxies:
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
                if self.datagrams:
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
