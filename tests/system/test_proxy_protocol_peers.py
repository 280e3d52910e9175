"""PROXY headers that other programs send."""

import os
import re

import pytest

from support import exchange, listener, wait_for
from test_proxy_protocol import binary_header, own_text

HAPROXY = """
defaults
	mode tcp
	timeout connect 10s
	timeout client 10s
	timeout server 10s
listen direct
	bind 127.0.0.1:{port}
	server twined {upstream} {options}
listen carried
	bind unix@{directory}/carried accept-proxy
	server twined {upstream} {options}
listen local
	bind unix@{directory}/local
	server twined {upstream} {options}
"""

SENDING = pytest.mark.parametrize("options", [
    "send-proxy", "send-proxy-v2",
    "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    "send-proxy-v2 proxy-v2-options crc32c,authority,ssl,cert-cn,cert-key,cert-sig,ssl-cipher"],
    ids=["v1", "v2", "checksum", "every-addition"])


@pytest.fixture
def haproxy(real_server):
    """Starts an HAProxy of that configuration, with unix sockets of these names."""
    def start(text, *socket_names, **values):
        def command(server):
            server.write("haproxy.cfg", text.format(directory=server.directory, port=server.port,
                                                    **values))
            return ["haproxy", "-db", "-f", server.path("haproxy.cfg")]
        it = real_server().start(command)
        for name in socket_names:	# it has bound them under other names
            wait_for(lambda: os.path.exists(it.path(name)), f"HAProxy's {name}")
        return it
    return start


@pytest.fixture
def behind_haproxy(twined, haproxy):
    """An echo of twined's, behind an HAProxy that sends headers."""
    def start(options):
        daemon = twined("[daemon]\nlog_level = debug\n"
                        + listener("echo", "echo", accept_proxy="127.0.0.1"))
        return daemon, haproxy(HAPROXY, "carried", "local", options=options,
                               upstream="127.0.0.1:%d" % daemon.port("echo"))
    return start


@SENDING
def test_twined_reads_what_haproxy_sends(behind_haproxy, options):
    daemon, front = behind_haproxy(options)
    client = daemon.connect_to(front.address())
    name = own_text(client)
    assert exchange(client, b"hello") == b"hello"
    daemon.wait_log(rf": PROXY header: from {name} to tcp://127\.0\.0\.1:{front.port}$")
    daemon.wait_log(rf": {name}: closed: \w+, 5 bytes in, 5 out")


@SENDING
def test_twined_reads_what_haproxy_passes_on(behind_haproxy, options):
    daemon, front = behind_haproxy(options)
    for source, destination in ((("192.0.2.1", 1), ("192.0.2.2", 65535)),
                                (("2001:db8::1", 2), ("fe80::2", 3))):
        client = daemon.connect_to(front.address("carried"))
        assert exchange(client, binary_header(source, destination) + b"hello") == b"hello"
        names = [f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
                 for host, port in (source, destination)]
        daemon.wait_log(": PROXY header: from %s to %s$" % tuple(map(re.escape, names)))


@SENDING
def test_haproxys_own_connections_are_its_own(behind_haproxy, options):
    daemon, front = behind_haproxy(options + " check check-send-proxy inter 100")
    daemon.wait_log(r": tcp://127\.0\.0\.1:\d+: closed: \w+, 0 bytes in, 0 out")
    client = daemon.connect_to(front.address("local"))	# a unix socket: that has no address to send
    assert exchange(client, b"hello") == b"hello"
    daemon.wait_log(r": tcp://127\.0\.0\.1:\d+: closed: \w+, 5 bytes in, 5 out")
    assert not daemon.lines("bad_proxy_header")
