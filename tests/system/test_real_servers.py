"""Real servers behind the proxy: Redis, OpenSSH's sftp, iperf3; socat and netcat on either side."""

import hashlib
import json
import os
import pwd
import re
import time

import pytest

from servers import client, file_digest, program
from support import PATIENCE, SANITIZED, receive, receive_all

LESS = 4 if SANITIZED else 1		# a sanitizer makes us so much slower
WAYS = ["tcp-tcp", "tcp-unix", "unix-tcp", "unix-unix"]


def redis(real_server):
    return real_server().start(lambda it: [
        "redis-server", "--bind", "127.0.0.1", "--port", str(it.port), "--dir", it.directory,
        "--unixsocket", it.path("s"), "--save", "", "--appendonly", "no"], "s")


@pytest.fixture
def through(forward, real_server, directory):
    """A Redis, and the options of its clients that lead to it by way of a proxy."""
    def start(way):
        front, back = way.split("-")
        it = redis(real_server)
        daemon = forward(it.address("s" if back == "unix" else None), f"{directory}/front")
        if front == "unix":
            return it, ["-s", f"{directory}/front"]
        return it, ["-h", "127.0.0.1", "-p", str(daemon.port("web"))]
    return start


@pytest.mark.parametrize("way", WAYS)
def test_redis_gives_back_a_large_value(through, way):
    it, where = through(way)
    value = os.urandom((16 << 20) // LESS)
    assert client("redis-cli", *where, "-x", "set", "large", data=value) == b"OK\n"
    assert client("redis-cli", *where, "get", "large") == value + b"\n"
    assert client("redis-cli", "-s", it.path("s"), "get", "large") == value + b"\n"


@pytest.mark.parametrize("pipeline", [1, 64])
@pytest.mark.parametrize("way", ["tcp-tcp", "unix-unix"])
def test_redis_counts_each_request_of_a_benchmark_once(through, way, pipeline):
    it, where = through(way)
    number = (64000 if pipeline > 1 else 6400) // LESS
    text = client("redis-benchmark", *where, "-q", "-c", "50", "-n", str(number),
                  "-P", str(pipeline), "-d", "512", "-t", "incr,set,get,lpush")
    assert b"rror" not in text
    assert len(re.findall(rb"requests per second", text)) == 4, text
    assert int(client("redis-cli", "-s", it.path("s"), "get", "counter:__rand_int__")) == number
    assert int(client("redis-cli", "-s", it.path("s"), "llen", "mylist")) == number


def test_redis_sends_replies_much_longer_than_their_pipelined_requests(through):
    _, where = through("tcp-tcp")
    text = client("redis-benchmark", *where, "-q", "-c", "20", "-n", str(3200 // LESS), "-P", "16",
                  "-d", "512", "-t", "lrange_600")
    assert b"rror" not in text
    assert re.search(rb"LRANGE_600 .*requests per second", text), text


def test_redis_answers_each_of_many_pipelined_commands(through):
    _, where = through("tcp-tcp")
    count = 50000 // LESS
    commands = b"".join(b"SET k%d %d\r\n" % (i, i * i) for i in range(count))
    text = client("redis-cli", *where, "--pipe", data=commands)
    assert f"errors: 0, replies: {count}".encode() in text
    assert client("redis-cli", *where, "dbsize") == b"%d\n" % count
    keys = [f"k{i}" for i in range(0, count, 100)]
    values = client("redis-cli", *where, "mget", *keys).split()
    assert values == [b"%d" % (int(key[1:]) ** 2) for key in keys]


def test_redis_pushes_each_message_to_each_silent_subscriber(forward, real_server):
    it = redis(real_server)
    daemon = forward(it.address())
    subscribers = [daemon.connect("web") for _ in range(50)]
    for subscriber in subscribers:
        subscriber.sendall(b"SUBSCRIBE news\r\n")
        assert receive(subscriber, 33) == b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
    messages = b"".join(b"PUBLISH news %06d\r\n" % i for i in range(500))
    client("redis-cli", "-s", it.path("s"), "--pipe", data=messages)
    expected = b"".join(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\n%06d\r\n" % i
                        for i in range(500))
    for subscriber in subscribers:
        assert receive(subscriber, len(expected)) == expected


def start_sshd(real_server):
    """An OpenSSH server of our own, and the sftp client that it lets in."""
    it = real_server()
    for key in ("host_key", "user_key"):
        client("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", it.path(key))
    with open(it.path("user_key.pub"), encoding="ascii") as file:
        it.write("authorized_keys", file.read(), 0o600)
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)	# sshd's own jail, always empty
    it.write("sshd_config", f"""
        HostKey {it.path('host_key')}
        AuthorizedKeysFile {it.path('authorized_keys')}
        PidFile none
        StrictModes no
        UsePAM no
        UseDNS no
        PasswordAuthentication no
        Subsystem sftp {program('sftp-server')}
        """)
    it.start(lambda it: ["sshd", "-D", "-e", "-f", it.path("sshd_config"),
                         "-o", f"ListenAddress=127.0.0.1:{it.port}"])

    def sftp(port, batch):
        client("sftp", "-q", "-P", str(port), "-i", it.path("user_key"), "-b", "-",
               "-o", f"UserKnownHostsFile={it.path('known_hosts')}", "-F", "none",
               "-o", "StrictHostKeyChecking=accept-new", "-o", "IdentitiesOnly=yes",
               f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1", data=batch.encode())
    return it, sftp


def test_sftp_carries_a_large_file_there_and_back(forward, real_server, directory):
    it, sftp = start_sshd(real_server)
    daemon = forward(it.address())
    with open(f"{directory}/large", "wb") as file:
        for _ in range(100 // LESS):
            file.write(os.urandom(1 << 20))
    sftp(daemon.port("web"), f"put {directory}/large {it.path('there')}\n"
                             f"get {it.path('there')} {directory}/back\n")
    names = [f"{directory}/large", it.path("there"), f"{directory}/back"]
    assert len(set(map(file_digest, names))) == 1


def iperf(daemon, *options):
    """What a run of iperf3 counts: bytes that its sender sent, and that its receiver received."""
    report = json.loads(client("iperf3", "-c", "127.0.0.1", "-p", str(daemon.port("web")),
                               "--json", *options))
    assert "error" not in report
    return report["end"]["sum_sent"]["bytes"], report["end"]["sum_received"]["bytes"]


@pytest.fixture
def iperf_server(forward, real_server):
    it = real_server().start(lambda it: ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(it.port)])
    return forward(it.address())


# When the last byte is in its sender's socket, or has come on one of several streams, iperf3 ends
# the test and does not count what is still on its way.

def test_iperf3_receives_all_that_its_server_sends(iperf_server):
    size = (256 << 20) // LESS
    assert iperf(iperf_server, "-R", "-n", str(size)) == (size, size)


def test_iperf3_receives_four_streams_at_once(iperf_server):
    size = (256 << 20) // LESS
    sent, received = iperf(iperf_server, "-R", "-n", str(size), "--parallel", "4", "-w", "256K")
    assert size <= received <= sent <= received + 4 * buffers_on_the_way()


@pytest.mark.parametrize("streams", [1, 4])
def test_iperf3_sends_and_its_server_receives(iperf_server, streams):
    size = (256 << 20) // LESS
    sent, received = iperf(iperf_server, "-n", str(size), "--parallel", str(streams), "-w", "256K")
    assert size <= sent < size + (4 << 20)
    assert received <= sent <= received + streams * buffers_on_the_way()


def buffers_on_the_way():
    """How much may be between two programs with buffers of 256 KiB, which the system doubles."""
    most = 4 * 256 << 10
    for name in ("tcp_rmem", "tcp_wmem"):
        with open(f"/proc/sys/net/ipv4/{name}", encoding="ascii") as file:
            most += int(file.read().split()[2])
    return most


def later(connection):
    """Answers 0.8 s after the end of the request."""
    request = receive_all(connection)
    time.sleep(0.8)			# what is waited for is the time itself
    connection.sendall(request[::-1])


@pytest.mark.parametrize("tool, way", [("nc", "tcp-tcp"), ("nc", "unix-unix"),
                                       ("socat", "tcp-unix"), ("socat", "unix-tcp")])
def test_a_client_gets_the_answer_to_its_end_of_stream(forward, server, directory, tool, way):
    front, back = way.split("-")
    upstream = server(later, f"{directory}/back" if back == "unix" else None)
    daemon = forward(upstream, f"{directory}/front")
    port = str(daemon.port("web"))
    command = {("nc", "tcp"): ["-N", "127.0.0.1", port],
               ("nc", "unix"): ["-N", "-U", f"{directory}/front"],
               ("socat", "tcp"): ["-t10", "-", f"TCP:127.0.0.1:{port}"],
               ("socat", "unix"): ["-t10", "-", f"UNIX:{directory}/front"]}[tool, front]
    data = os.urandom(4 << 20)
    assert client(tool, *command, data=data) == data[::-1]


def test_netcat_hands_a_file_to_netcat(forward, real_server, directory):
    data = os.urandom((32 << 20) // LESS)
    it = real_server()
    it.start(lambda it: ["nc", "-d", "-l", "127.0.0.1", str(it.port)])
    daemon = forward(it.address())
    client("nc", "-N", "127.0.0.1", str(daemon.port("web")), data=data)
    assert it.process.wait(PATIENCE) == 0
    with open(it.path("output"), "rb") as file:
        assert file.read() == data


def test_netcat_is_handed_a_file_by_socat(forward, real_server):
    data = os.urandom((32 << 20) // LESS)
    it = real_server()
    with open(it.path("file"), "wb") as file:
        file.write(data)
    it.start(lambda it: ["socat", "-u", f"FILE:{it.path('file')}",
                         f"TCP-LISTEN:{it.port},bind=127.0.0.1"])
    daemon = forward(it.address())
    assert client("nc", "127.0.0.1", str(daemon.port("web"))) == data
    assert it.process.wait(PATIENCE) == 0


def test_socat_runs_a_filter_that_ends_with_its_input(forward, real_server):
    it = real_server().start(lambda it: [
        "socat", "-t10", f"TCP-LISTEN:{it.port},bind=127.0.0.1,fork", "EXEC:sha256sum"])
    daemon = forward(it.address())
    data = os.urandom(8 << 20)
    for _ in range(5):
        answer = client("nc", "-N", "127.0.0.1", str(daemon.port("web")), data=data)
        assert answer.split()[0].decode() == hashlib.sha256(data).hexdigest()
