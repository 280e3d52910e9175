"""PROXY headers between twined and programs that know them, both ways, and through a chain."""

import os
import re

import pytest

from support import exchange, listener, receive, wait_for
from test_proxy_protocol import CLIENT_TEXT, SERVICE, binary_header, own_text, text_header

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
    daemon, front = behind_haproxy(options + " check check-send-proxy inter 100 fall 1000")
    daemon.wait_log(r": tcp://127\.0\.0\.1:\d+: closed: \w+, 0 bytes in, 0 out")
    client = daemon.connect_to(front.address("local"))	# a unix socket: that has no address to send
    assert exchange(client, b"hello") == b"hello"
    daemon.wait_log(r": tcp://127\.0\.0\.1:\d+: closed: \w+, 5 bytes in, 5 out")
    assert not daemon.lines("bad_proxy_header")


WEB = """
defaults
	mode http
	timeout connect 10s
	timeout client 10s
	timeout server 10s
frontend web
	bind 127.0.0.1:{port} accept-proxy
	http-request return content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
"""

NGINX = """
daemon off;
pid {directory}/pid;
error_log {directory}/error;
events {{ }}
http {{
	access_log off;
	client_body_temp_path {directory}/body;
	proxy_temp_path {directory}/proxy;
	fastcgi_temp_path {directory}/fastcgi;
	uwsgi_temp_path {directory}/uwsgi;
	scgi_temp_path {directory}/scgi;
	server {{
		listen 127.0.0.1:{port} proxy_protocol;
		set $from "$proxy_protocol_addr $proxy_protocol_port";
		return 200 "$from $proxy_protocol_server_addr $proxy_protocol_server_port";
	}}
}}
"""


@pytest.fixture
def nginx(real_server):
    def command(server):
        server.write("nginx.conf", NGINX.format(directory=server.directory, port=server.port))
        return ["nginx", "-p", server.directory, "-e", server.path("error"),
                "-c", server.path("nginx.conf")]
    return real_server().start(command)


def ask(client, before=b""):
    """The body that a web server answers with, split into words."""
    client.sendall(before + b"GET / HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n")
    answer = receive(client, 1 << 16).decode()
    assert answer.startswith("HTTP/1.1 200"), answer
    return answer.rpartition("\r\n\r\n")[2].split()


@pytest.fixture(params=["haproxy", "nginx"])
def web(request):
    """A web server that wants a header and answers with what it says."""
    if request.param == "nginx":
        return request.getfixturevalue("nginx")
    return request.getfixturevalue("haproxy")(WEB)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_others_read_what_twined_sends(twined, web, version):
    keys = {"upstream": web.address(), "send_proxy": version}
    daemon = twined(listener("web", "proxy", **keys)
                    + listener("six", "proxy", "tcp://[::1]:0", **keys))
    for name, host in (("web", "127.0.0.1"), ("six", "::1")):
        client = daemon.connect(name)
        port = str(client.getsockname()[1])
        assert ask(client) == [host, port, host, str(daemon.port(name))]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("header", [text_header, binary_header])
def test_others_read_what_twined_passes_on(twined, web, version, header):
    daemon = twined(listener("web", "proxy", upstream=web.address(), send_proxy=version,
                             accept_proxy="127.0.0.1"))
    assert ask(daemon.connect("web"), header()) == ["192.0.2.1", "1000", "198.51.100.2", "80"]
    assert (ask(daemon.connect("web"), header(("2001:db8::1", 5), ("2001:db8::2", 6)))
            == ["2001:db8::1", "5", "2001:db8::2", "6"])
    # Of two families, IPv6 it is.
    source, *rest = ask(daemon.connect("web"), header(("2001:db8::1", 5), ("::ffff:192.0.2.2", 6)))
    assert source == "2001:db8::1" and rest[0] == "5" and rest[2] == "6"
    assert rest[1] in ("::ffff:192.0.2.2", "::ffff:c000:202")


@pytest.mark.parametrize("first, second", [("v1", "v1"), ("v1", "v2"), ("v2", "v1"), ("v2", "v2")])
def test_a_chain_keeps_both_addresses(twined, server, directory, first, second):
    headers = []

    def handle(peer):
        headers.append(peer.recv(1000))
        peer.sendall(b"hi")
    far = twined("[daemon]\nlog_level = debug\n"
                 + listener("far", "proxy", f"tcp://127.0.0.1:0, unix://{directory}/s",
                            upstream=server(handle), accept_proxy="127.0.0.1, unix",
                            send_proxy=second))
    for scheme in ("tcp", "unix"):
        near = twined(listener("near", "proxy", upstream=far.address("far", scheme),
                               accept_proxy="127.0.0.1", send_proxy=first))
        for source, destination in ((("192.0.2.1", 1000), SERVICE),
                                    (("2001:db8::1", 5), ("2001:db8::2", 6))):
            for header in (text_header, binary_header):
                assert exchange(near.connect("near"), header(source, destination)) == b"hi"
                wanted = (text_header if second == "v1" else binary_header)(source, destination)
                assert headers.pop() == wanted
    known = f": PROXY header: from {CLIENT_TEXT} to tcp://198.51.100.2:80$"
    wait_for(lambda: len(far.lines(known)) == 4, "the second one knows both")
