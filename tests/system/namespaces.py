"""Network namespaces with links between them: real interfaces, and files of their own, for root."""

import contextlib
import ctypes
import os
import subprocess
import threading

from support import PATIENCE, wait_for

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def command_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()
    return None


class Namespace:
    """A network of its own, with nothing but loopback at first."""

    def __init__(self, files=None):
        """files: who enters finds other files in the place of these: {path: path of the other}."""
        mounts = [part for path, other in (files or {}).items()
                  for part in (other, os.path.realpath(path))]
        self.holder = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-ec", """
            while [ $# != 0 ]; do mount --bind "$1" "$2"; shift 2; done
            exec cat""", "sh", *mounts], stdin=subprocess.PIPE)	# which ends with us at the latest
        self.path = f"/proc/{self.holder.pid}/ns/net"
        # What is entered is that of the process once it is there.
        wait_for(lambda: command_of(self.holder.pid) == "cat" or self.holder.poll() is not None,
                 "a network namespace")
        assert self.holder.poll() is None, f"no namespace with {mounts}"
        self.enter = ["nsenter", f"--net={self.path}", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command):
        """Runs a command there; returns what it prints."""
        result = subprocess.run([*self.enter, *command], capture_output=True, text=True,
                                timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False)
        assert result.returncode == 0, f"{command}: {result.stderr}"
        return result.stdout

    def call(self, function):
        """Calls a function there; the sockets that it makes stay there."""
        result = []

        def thread():
            with open(self.path, "rb") as file:
                if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
                    result.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                result.append(function())
            except OSError as error:
                result.append(error)
        one = threading.Thread(target=thread)
        one.start()
        one.join()
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()


def link(near, near_name, near_address, far, far_name, far_address):
    """Links two namespaces, each interface with an address such as 10.9.0.1/24."""
    near.run("ip", "link", "add", near_name, "type", "veth", "peer", "name", far_name, "netns",
             str(far.holder.pid))
    for space, name, address in ((near, near_name, near_address), (far, far_name, far_address)):
        # Nobody else has the address: without looking for that it can be used at once.
        space.run("ip", "address", "add", address, "dev", name,
                  *(["nodad"] if ":" in address else []))
        space.run("ip", "link", "set", name, "up")
