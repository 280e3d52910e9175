"""Servers behind a proxy that go down and come up at their address, and tell clients who they
are."""

import contextlib
import random
import socket
import threading

import pytest

import support


class Backend:
    """
    A server on loopback. handler(backend, connection) has each connection in a thread of its
    own.
    """

    def __init__(self, name, handler, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        self.name = name.encode()
        self.handler = handler
        self.kind = kind
        self.accepted = 0
        self.answer = b""		# for handlers
        self.heard = []			# of handlers
        self.threads, self.connections = [], []
        self.socket = socket.socket(family, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        while True:
            # One that is asked for by its number stays taken while nobody listens there.
            self.port = random.randrange(12000, 32000)
            with contextlib.suppress(OSError):
                self.socket.bind((host, self.port))
                break
        where = f"[{host}]" if ":" in host else host
        self.address = f"{'tcp' if kind == socket.SOCK_STREAM else 'udp'}://{where}:{self.port}"

    def start(self):
        """Accepts from now on; returns itself."""
        self.socket.listen(128)
        self._run(self._serve)
        return self

    def stop(self):
        """Refuses from now on; connections go on."""
        self.socket.shutdown(socket.SHUT_RDWR)

    def _run(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.accepted += 1
                self.connections.append(connection)
                self._run(self._handle, connection)

    def _handle(self, connection):
        connection.settimeout(support.PATIENCE)
        with contextlib.suppress(OSError), connection:
            self.handler(self, connection)

    def end(self):
        for one in (self.socket, *self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(support.PATIENCE)
        for one in (self.socket, *self.connections):
            one.close()


def tell(backend, connection):
    """Tells its name, and ends."""
    connection.sendall(backend.name)


def hold(backend, connection):
    """Tells its name, and stays until the client ends."""
    connection.sendall(backend.name)
    support.receive_all(connection)


def reply(backend, connection):
    """Hears a line, replies with its answer if it has one, and ends with the client."""
    backend.heard.append(connection.recv(1024))
    connection.sendall(backend.answer)
    support.receive_all(connection)


@pytest.fixture
def backend():
    """Makes servers that serve: backend("a", handler=tell)."""
    made = []

    def make(name, handler=tell, up=True, **options):
        made.append(Backend(name, handler, **options))
        return made[-1].start() if up else made[-1]
    yield make
    for one in made:
        one.end()


def ask(daemon, listener="web", **options):
    """The name of the server that a client is given; None: it is reset."""
    try:
        client = daemon.connect(listener, **options)
        return support.receive_all(client).decode() or None
    except ConnectionResetError:
        return None
    finally:
        daemon.close_clients()
