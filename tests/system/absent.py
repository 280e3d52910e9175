"""Upstreams that do not serve: they refuse, do not answer, or start later."""

import contextlib
import socket
import threading

import pytest

import support


@pytest.fixture
def refusing():
    """An address that refuses connections, and goes on to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield "tcp://127.0.0.1:%d" % bound.getsockname()[1]


@pytest.fixture
def silent():
    """An address that answers no connection: its backlog is full, and nobody accepts."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    fillers = []
    for _ in range(64):
        filler = socket.socket()
        filler.settimeout(0.2)
        fillers.append(filler)
        try:
            filler.connect(listening.getsockname())
        except TimeoutError:
            break
    else:
        raise AssertionError("the backlog does not fill")
    yield "tcp://127.0.0.1:%d" % listening.getsockname()[1]
    for filler in fillers:
        filler.close()
    listening.close()


class Starting:
    """A server that refuses connections until it is started; a thread for each connection then."""

    def __init__(self, handler):
        self.handler = handler
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.address = "tcp://127.0.0.1:%d" % self.listening.getsockname()[1]
        self.connections, self.threads, self.failures = [], [], []
        self.ending = False

    def start(self, backlog=1024):
        self.listening.listen(backlog)
        self._run(self._serve)

    def start_in(self, seconds):
        """Starts it later; the time is what is tested."""
        timer = threading.Timer(seconds, self.start)
        self.threads.append(timer)
        timer.start()

    def _run(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections.append(connection)
            self._run(self._handle, connection)

    def _handle(self, connection):
        connection.settimeout(support.PATIENCE)
        try:
            with connection:
                self.handler(connection)
        except Exception as error:
            if not self.ending:
                self.failures.append(error)

    def end(self):
        self.ending = True
        for one in (self.listening, *self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(support.PATIENCE)
        self.listening.close()
        if self.failures:
            raise self.failures[0]


@pytest.fixture
def starting():
    """Makes servers that have a port already, and that the test starts."""
    servers = []

    def make(handler):
        servers.append(Starting(handler))
        return servers[-1]
    yield make
    for one in servers:
        one.end()
