"""A name server: answers for A and AAAA over UDP, and what it answers can change at any moment."""

import contextlib
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
SERVFAIL, NXDOMAIN = 2, 3


def question_of(query):
    """The name and the type that a query asks for, and its question as it stands there."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = int.from_bytes(query[at + 1:at + 3], "big")
    return ".".join(labels), kind, query[12:at + 5]


class DnsServer:
    """Serves a bound UDP socket in a thread. Names that have no addresses are unknown."""

    def __init__(self, udp):
        self.udp = udp
        self.lock = threading.Lock()
        self.addresses = {}
        self.failure = None		# SERVFAIL, to whatever is asked
        self.silent = False
        self.held = []			# what came while it was silent
        self.asked = []			# every (name, type) in its order
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            query, peer = self.udp.recvfrom(2048)
            if not query:
                return
            with self.lock:
                name, kind, _ = question_of(query)
                self.asked.append((name, kind))
                if self.silent:
                    self.held.append((query, peer))
                else:
                    self._answer(query, peer)

    def _answer(self, query, peer):
        name, kind, question = question_of(query)
        known = self.addresses.get(name)
        found = [ipaddress.ip_address(address).packed for address in known or []]
        records = [packed for packed in found if len(packed) == {A: 4, AAAA: 16}.get(kind)]
        failure = self.failure or (NXDOMAIN if known is None else 0)
        if failure:
            records = []
        counts = struct.pack(">HHHHH", 0x8580 | failure, 1, len(records), 0, 0)
        answer = query[:2] + counts + question
        for packed in records:		# the name is that of the question, and to be kept for 0 s
            answer += struct.pack(">HHHIH", 0xc00c, kind, 1, 0, len(packed)) + packed
        with contextlib.suppress(OSError):
            self.udp.sendto(answer, peer)

    def set(self, name, *addresses):
        """A name has these addresses from now on; none: it is unknown."""
        with self.lock:
            self.addresses.pop(name, None)
            if addresses:
                self.addresses[name] = addresses

    def fail(self, failure):
        """Answers everything with this, or with None as it should."""
        with self.lock:
            self.failure = failure

    def fall_silent(self):
        with self.lock:
            self.silent = True

    def speak(self):
        """Answers again, also what has come meanwhile."""
        with self.lock:
            self.silent = False
            for query, peer in self.held:
                self._answer(query, peer)
            self.held.clear()

    def count(self, name, kind=A):
        """How often it has been asked."""
        with self.lock:
            return self.asked.count((name, kind))

    def close(self):
        with contextlib.suppress(OSError):	# it is not connected, and its thread wakes up
            self.udp.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.udp.close()
