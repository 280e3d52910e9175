"""What the black box tests are given: a twined to start, and servers to proxy to."""

import contextlib
import os
import shutil
import socket
import tempfile
import threading

import pytest

import support
from absent import refusing, silent, starting	# these are fixtures
from ends import routes
from servers import forward, module_real_server, real_server


@pytest.fixture
def directory():
    """A folder whose name is short enough for unix sockets."""
    path = tempfile.mkdtemp(prefix="twined-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def twined():
    """Starts a daemon, as support.Daemon; the end of the test stops it and judges its end."""
    assert os.access(support.TWINED, os.X_OK), f"TWINED: {support.TWINED} cannot be run"
    daemons = []

    def start(config=None, **options):
        daemon = support.Daemon(config, **options)
        daemons.append(daemon)
        return daemon
    yield start
    failures = []
    for daemon in daemons:
        daemon.close_clients()
        try:
            daemon.stop()
        except Exception as error:	# the others must end too
            failures.append(error)
    if failures:
        raise failures[0]


@pytest.fixture
def server():
    """Starts a server on loopback: server(handler, path=None) gives its address. The handler has
    each connection in a thread of its own; what it raises before the test's end fails the test."""
    listeners, connections, threads, failures = [], [], [], []
    ending = threading.Event()

    def serve(listening, handler):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connections.append(connection)
            thread = threading.Thread(target=handle, args=(connection, handler), daemon=True)
            threads.append(thread)
            thread.start()

    def handle(connection, handler):
        connection.settimeout(support.PATIENCE)
        try:
            with connection:
                handler(connection)
        except Exception as error:
            if not ending.is_set():
                failures.append(error)

    def start(handler, path=None):
        listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        listening.bind(path or ("127.0.0.1", 0))
        listening.listen(128)
        listeners.append(listening)
        thread = threading.Thread(target=serve, args=(listening, handler), daemon=True)
        threads.append(thread)
        thread.start()
        return f"unix://{path}" if path else "tcp://127.0.0.1:%d" % listening.getsockname()[1]
    yield start
    ending.set()
    for one in (*listeners, *connections):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(support.PATIENCE)
    for one in (*listeners, *connections):
        one.close()
    if failures:
        raise failures[0]


@pytest.fixture
def root():
    """For tests that must be root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
