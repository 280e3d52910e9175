"""nginx behind the proxy: curl carries large bodies both ways, wrk many requests."""

import hashlib
import itertools
import os
import re
import signal
import subprocess
import threading

import pytest

from servers import client, file_digest, program
from support import PATIENCE, SANITIZED, wait_for

SIZE = (100 << 20) // (4 if SANITIZED else 1)
AT_ONCE = 4

CONFIG = """
worker_processes 2;
{user}
daemon off;
pid {directory}/pid;
error_log {directory}/error;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {directory}/body;
	proxy_temp_path {directory}/proxy;
	fastcgi_temp_path {directory}/fastcgi;
	uwsgi_temp_path {directory}/uwsgi;
	scgi_temp_path {directory}/scgi;
	client_max_body_size 0;
	keepalive_requests 1000000;
	sendfile on;
	server {{
		listen 127.0.0.1:{port} backlog=1024;
		listen unix:{directory}/s;
		root {directory}/files;
		location / {{ }}
		location /put/ {{ dav_methods PUT; create_full_put_path on; }}
		location = /short {{ return 200 "short and sweet\\n"; }}
		location = /status {{ stub_status; }}
	}}
}}
"""


@pytest.fixture(scope="module")
def nginx(module_real_server):
    """An nginx with a large file."""
    it = module_real_server()
    os.mkdir(it.path("files"))
    with open(it.path("files/large"), "wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))

    def command(server):
        server.write("nginx.conf", CONFIG.format(directory=server.directory, port=server.port,
                                                 user="user root;" if os.geteuid() == 0 else ""))
        return ["nginx", "-p", server.directory, "-e", server.path("error"),
                "-c", server.path("nginx.conf")]
    it.start(command, "s")
    return it


@pytest.fixture(scope="module")
def digest(nginx):
    return file_digest(nginx.path("files/large"))


def download(results, *arguments):
    """Adds the SHA-256 of what a curl prints."""
    with subprocess.Popen([program("curl"), "-sS", "--fail", *arguments],
                          stdout=subprocess.PIPE) as curl:
        results.append(hashlib.file_digest(curl.stdout, "sha256").hexdigest())
        assert curl.wait(PATIENCE) == 0


def all_at_once(*runs):
    """Runs functions, each given a list that it adds its result to; returns the list."""
    results = []
    threads = [threading.Thread(target=run, args=(results,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("back", ["tcp", "unix"])
@pytest.mark.parametrize("front", ["tcp", "unix"])
def test_large_downloads_at_once_arrive_whole(nginx, digest, forward, directory, front, back):
    daemon = forward(nginx.address("s" if back == "unix" else None), f"{directory}/front")
    where = ["--unix-socket", f"{directory}/front"] if front == "unix" else []
    url = f"http://127.0.0.1:{daemon.port('web')}/large"
    digests = all_at_once(*[lambda results: download(results, *where, url)] * AT_ONCE)
    assert digests == [digest] * AT_ONCE


def test_a_kept_connection_carries_one_download_after_another(nginx, digest, forward, directory):
    daemon = forward(nginx.address())
    url = f"http://127.0.0.1:{daemon.port('web')}/large"
    outputs = [f"{directory}/{number}" for number in range(3)]
    connects = client("curl", "-sS", "--fail", "-w", "%{num_connects} ",
                      *[word for output in outputs for word in ("-o", output, url)])
    assert connects.split() == [b"1", b"0", b"0"]
    assert [file_digest(output) for output in outputs] == [digest] * 3
    assert len(daemon.lines(": open$")) == 1


def test_connections_closed_by_the_server_bring_all(nginx, digest, forward, directory):
    daemon = forward(nginx.address())
    url = f"http://127.0.0.1:{daemon.port('web')}/large"
    outputs = [f"{directory}/{number}" for number in range(2)]
    # HTTP 1.0 has no other end than that of the connection.
    connects = client("curl", "-sS", "--fail", "--http1.0", "-w", "%{num_connects} ",
                      *[word for output in outputs for word in ("-o", output, url)])
    assert connects.split() == [b"1", b"1"]
    assert [file_digest(output) for output in outputs] == [digest] * 2
    wait_for(lambda: len(daemon.lines(": closed: peer_closed")) == 2, "both are closed")


@pytest.mark.parametrize("back", ["tcp", "unix"])
def test_large_uploads_at_once_arrive_whole(nginx, digest, forward, back):
    daemon = forward(nginx.address("s" if back == "unix" else None))
    url = f"http://127.0.0.1:{daemon.port('web')}/put"
    names = [f"{back}-{number}" for number in range(AT_ONCE)]

    def upload(name):
        return lambda results: results.append(
            client("curl", "-sS", "--fail", "-T", nginx.path("files/large"), f"{url}/{name}",
                   "-o", "/dev/null", "-w", "%{http_code}"))
    assert all_at_once(*map(upload, names)) == [b"201"] * AT_ONCE
    for name in names:
        assert file_digest(nginx.path(f"files/put/{name}")) == digest
        os.unlink(nginx.path(f"files/put/{name}"))


def test_uploads_and_downloads_at_once_arrive_whole(nginx, digest, forward):
    daemon = forward(nginx.address())
    url = f"http://127.0.0.1:{daemon.port('web')}"

    def upload(results):
        client("curl", "-sS", "--fail", "-T", nginx.path("files/large"), f"{url}/put/both")
        results.append(file_digest(nginx.path("files/put/both")))
    digests = all_at_once(upload, lambda results: download(results, f"{url}/large"))
    assert digests == [digest] * 2


@pytest.mark.parametrize("header", ["keep-alive", "close"])
def test_wrk_gets_every_answer(nginx, forward, header):
    daemon = forward(nginx.address())
    before = accepted(nginx)
    text = client("wrk", "-t", "2", "-c", "64", "-d", "3s", "--timeout", "60s", "-H",
                  f"Connection: {header}",
                  f"http://127.0.0.1:{daemon.port('web')}/short").decode()
    assert "Socket errors" not in text and "Non-2xx" not in text, text
    requests = int(re.search(r"(\d+) requests in", text)[1])
    wait_for(lambda: counted(daemon)[0] == 0, "all closed")
    connections = counted(daemon)[1]
    if header == "close":
        assert connections >= requests > 0
    else:
        assert connections <= 64 + 2 < requests		# wrk's threads try the server out before
    # Each connection that came to us went to the server, and none twice.
    asked = itertools.count(1)			# so many of them are ours
    wait_for(lambda: accepted(nginx) - before - next(asked) == connections, "the same number")


def counted(daemon):
    """How many connections are open, and have been accepted."""
    since = len(daemon.log)
    daemon.signal(signal.SIGUSR1)
    match = daemon.wait_log(r" web: (\d+) open, (\d+) accepted", since)
    return int(match[1]), int(match[2])


def accepted(nginx):
    """How many connections nginx has accepted, ours included."""
    text = client("curl", "-sS", "--unix-socket", nginx.path("s"), "http://localhost/status")
    return int(re.search(rb"accepts handled requests\n (\d+)", text)[1])
