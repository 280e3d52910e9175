"""Real clients: netcat, ncat, socat, and the echo client of Twisted's own tutorial."""

import os
import shutil
import subprocess
import sys

import pytest

from support import PATIENCE, listener, wait_for

TWISTED = """
import sys
from twisted.internet import protocol, reactor


class EchoClient(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"Hello, world!")

    def dataReceived(self, data):
        print("Server said:", data.decode())
        self.transport.loseConnection()

    def connectionLost(self, reason):
        print("connection lost")


class EchoFactory(protocol.ClientFactory):
    protocol = EchoClient

    def clientConnectionFailed(self, connector, reason):
        print("Connection failed - goodbye!")
        reactor.stop()

    def clientConnectionLost(self, connector, reason):
        print("Connection lost - goodbye!")
        reactor.stop()


reactor.connectTCP("127.0.0.1", int(sys.argv[1]), EchoFactory())
reactor.run()
"""


def client(*command, data=b""):
    """What a program prints that is given data on its standard input."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    result = subprocess.run(command, input=data, capture_output=True, timeout=2 * PATIENCE,
                            check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def services(twined, directory):
    def start(protocol, **keys):
        return twined(listener("it", protocol, f"tcp://127.0.0.1:0, udp://127.0.0.1:0, "
                               f"unix://{directory}/s", **keys))
    return start


def test_printf_hi_into_nc_prints_hi(services):
    port = str(services("echo").port("it"))
    assert client("nc", "-N", "127.0.0.1", port, data=b"hi") == b"hi"


def test_nc_gets_a_large_file_back(services):
    data = os.urandom(8 << 20)
    port = str(services("echo").port("it"))
    assert client("nc", "-N", "127.0.0.1", port, data=data) == data


def test_nc_through_a_proxy_prints_hi(twined, services):
    upstream = services("echo").address("it")
    port = str(twined(listener("web", "proxy", upstream=upstream)).port("web"))
    assert client("nc", "-N", "127.0.0.1", port, data=b"hi") == b"hi"


def test_nc_through_a_unix_socket(services, directory):
    services("echo")
    assert client("nc", "-N", "-U", f"{directory}/s", data=b"hi") == b"hi"


def test_nc_over_udp(services):
    port = str(services("echo").port("it", "udp"))
    assert client("nc", "-u", "-w", str(int(PATIENCE)), "-W", "1", "127.0.0.1", port,
                  data=b"hi") == b"hi"


def test_nc_reads_the_time_of_day(services):
    port = str(services("daytime").port("it"))
    assert client("nc", "127.0.0.1", port).endswith(b"\r\n")


def test_ncat_prints_what_it_sends(services):
    port = str(services("echo").port("it"))
    assert client("ncat", "127.0.0.1", port, data=b"hi\n") == b"hi\n"


def test_ncat_gets_all_of_a_large_file(services):
    data = os.urandom(4 << 20)
    port = str(services("echo").port("it"))
    assert client("ncat", "127.0.0.1", port, data=data) == data


@pytest.mark.parametrize("kind", ["TCP", "UNIX"])
def test_socat_prints_what_it_sends(services, directory, kind):
    daemon = services("echo")
    where = f"TCP:127.0.0.1:{daemon.port('it')}" if kind == "TCP" else f"UNIX:{directory}/s"
    data = os.urandom(1 << 20)
    assert client("socat", f"-t{PATIENCE}", "-", where, data=data) == data


def test_two_ncs_talk_over_a_relay(services):
    daemon = services("relay")
    port = str(daemon.port("it"))
    if shutil.which("nc") is None:
        pytest.skip("nc is not installed")
    with subprocess.Popen(["nc", "127.0.0.1", port], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as reader:
        wait_for(lambda: daemon.lines(": open"), "the reader has joined")
        with subprocess.Popen(["nc", "127.0.0.1", port], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as writer:
            writer.stdin.write(b"hello\n")
            writer.stdin.flush()
            assert reader.stdout.readline() == b"hello\n"
            writer.kill()
        reader.kill()


def test_the_echo_client_of_twisteds_tutorial(services):
    pytest.importorskip("twisted")
    port = str(services("echo").port("it"))
    # The interpreter that has pytest has the system's Twisted too.
    assert client(sys.executable, "-c", TWISTED, port).decode().splitlines() == [
        "Server said: Hello, world!", "connection lost", "Connection lost - goodbye!"]
