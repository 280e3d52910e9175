"""Keys that are told to the system: keep-alive, time-outs, DSCP, interfaces, on real sockets."""

import os
import re
import signal
import socket
import subprocess

import pytest

from namespaces import Namespace, link
from support import PATIENCE, free_address, listener, receive, wait_for
from test_activation import passed, tcp	# they are fixtures

TIMER = re.compile(r"timer:\(keepalive,(?:(\d+)min)?(?:([\d.]+)(ms|sec))?,")
EF = 46 << 2
DEFAULT_IDLE_S = int(open("/proc/sys/net/ipv4/tcp_keepalive_time", encoding="ascii").read())
# As it is not what the system has by itself.
IDLE_S = DEFAULT_IDLE_S // 3


def ss(what, enter=()):
    """What ss(8) says of the one established TCP connection that fits."""
    result = subprocess.run([*enter, "ss", "-Htnoi", "--tos", "state", "established", what],
                            capture_output=True, text=True, timeout=PATIENCE, check=True)
    found = re.split(r"\n(?=\S)", result.stdout.strip())
    assert len(found) == 1 and found[0], result.stdout
    return found[0]


def keepalive_s(text):
    """After how many seconds the next probe is sent, None: never."""
    match = TIMER.search(text)
    if not match:
        return None
    seconds = float(match[2] or 0) / (1000 if match[3] == "ms" else 1)
    return 60 * int(match[1] or 0) + seconds


def echoed(client):
    """Says something and waits for it to come back: then the connection is accepted."""
    client.sendall(b"x")
    assert receive(client, 1) == b"x"
    return client


def accepted(daemon, name="it"):
    """What ss says of the daemon's side of a new connection."""
    client = echoed(daemon.connect(name))
    return ss(f"( sport = {daemon.port(name)} and dport = {client.getsockname()[1]} )")


def test_an_accepted_connection_is_probed_as_the_keys_say_also_after_a_reload(twined):
    address = free_address()
    daemon = twined(listener("it", "echo", address, keepalive_idle=f"{IDLE_S}s"))
    assert IDLE_S - 60 <= keepalive_s(accepted(daemon)) <= IDLE_S
    assert daemon.reload(listener("it", "echo", address)).returncode == 0
    assert DEFAULT_IDLE_S - 60 <= keepalive_s(accepted(daemon)) <= DEFAULT_IDLE_S
    assert daemon.reload(listener("it", "echo", address, keepalive="off")).returncode == 0
    assert keepalive_s(accepted(daemon)) is None


OPTIONS = {"no delay": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
           "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
           "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
           "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
           "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
           "user timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
           "unsent": (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
           "tos": (socket.IPPROTO_IP, socket.IP_TOS)}


def options_of(sock):
    return {name: sock.getsockopt(*option) for name, option in OPTIONS.items()}


def test_every_key_reaches_the_listening_socket_and_leaves_it_again(passed, tcp):
    before = options_of(tcp)
    daemon = passed(listener("it", "echo", "systemd:web", keepalive_idle="77s",
                             keepalive_interval="1500ms",
                             keepalive_count=3, tcp_user_timeout="9s", notsent_lowat="100K",
                             dscp="af41"), [("web", tcp)])
    wanted = {"no delay": 1, "keepalive": 1, "idle": 77, "interval": 2, "count": 3,
              "user timeout": 9000, "unsent": 102400,
              "tos": 34 << 2}
    assert options_of(tcp) == wanted
    assert daemon.reload(listener("it", "echo", "systemd:web", keepalive_count=5)).returncode == 0
    assert options_of(tcp) == {**before, "no delay": 1, "keepalive": 1, "count": 5}
    assert daemon.reload(listener("it", "echo", "systemd:web", keepalive="off")).returncode == 0
    assert options_of(tcp) == {**before, "no delay": 1}


def test_what_the_unit_of_a_passed_socket_says_stays_unless_a_key_says_otherwise(passed, tcp):
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 555)
    tcp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 32)
    daemon = passed(listener("it", "echo", "systemd:web"), [("web", tcp)])
    assert (options_of(tcp)["idle"], options_of(tcp)["tos"]) == (555, 32)
    assert daemon.reload(listener("it", "echo", "systemd:web", keepalive_idle="9s",
                                  dscp=1)).returncode == 0
    assert (options_of(tcp)["idle"], options_of(tcp)["tos"]) == (9, 4)
    assert daemon.reload(listener("it", "echo", "systemd:web")).returncode == 0
    assert (options_of(tcp)["idle"], options_of(tcp)["tos"]) == (555, 32)


def test_a_reload_that_fails_leaves_the_socket_as_it_is(passed, tcp):
    daemon = passed(listener("it", "echo", "systemd:web", keepalive_idle="9s"), [("web", tcp)],
                    errors="twined: error: ")
    before = options_of(tcp)
    assert daemon.reload(listener("it", "echo", "systemd:web", keepalive_idle="10s")
                         + listener("other", "echo", "systemd:none")).returncode == 1
    assert options_of(tcp) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_the_dscp_of_answered_datagrams(twined, host):
    address = f"udp://{host}:{free_address().rsplit(':', 1)[1]}"
    daemon = twined(listener("it", "echo", address, dscp="ef"))
    client = daemon.connect_to(address)
    if host == "[::1]":
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)

    def answered():
        client.send(b"x")
        (_, _, value), = client.recvmsg(10, 100)[1]
        return value[0]
    assert answered() == EF
    assert daemon.reload(listener("it", "echo", address)).returncode == 0
    assert answered() == 0
    assert daemon.reload(listener("it", "echo", address, dscp="cs1")).returncode == 0
    assert answered() == 8 << 2


def test_the_dscp_of_streams_to_clients_and_to_upstreams(twined):
    daemon = twined(listener("up", "echo"))
    upstream = daemon.address("up")
    daemon.reload(listener("up", "echo", upstream) + listener("it", "proxy", upstream=upstream,
                                                              dscp="ef"))
    tos = f"tos:{EF:#x}"
    assert tos in accepted(daemon)
    assert tos in ss(f"dport = {daemon.port('up')}")
    assert tos not in ss(f"sport = {daemon.port('up')}")


# ---- With interfaces of their own


@pytest.fixture
def spaces(root):
    """The daemon's namespace and that of its peers, linked: 10.77.0.1 and 10.77.0.2."""
    made = []
    try:
        made.append(Namespace())
        made.append(Namespace())
        link(made[0], "near", "10.77.0.1/24", made[1], "far", "10.77.0.2/24")
        yield made
    finally:
        for one in made:
            one.close()


def connect(space, port, host="10.77.0.1"):
    """A client in a namespace."""
    def make():
        client = socket.socket()
        client.settimeout(PATIENCE)
        try:
            client.connect((host, port))
        except OSError:
            client.close()
            raise
        return client
    return space.call(make)


def reload(daemon, config):
    """By a signal, which reaches it in its namespace."""
    since = len(daemon.log)
    daemon.write(config)
    daemon.signal(signal.SIGHUP)
    return daemon.wait_log("reloaded: |reload failed", since)[0] == "reloaded: "


def test_a_connection_to_an_upstream_is_probed_as_the_keys_say(twined, spaces):
    near, far = spaces
    upstream = far.call(socket.socket)
    upstream.bind(("10.77.0.2", 0))
    upstream.listen()
    port = upstream.getsockname()[1]
    daemon = twined(listener("it", "proxy", "tcp://10.77.0.1:7000",
                             upstream=f"tcp://10.77.0.2:{port}",
                             keepalive_idle=f"{IDLE_S}s"), wrapper=near.enter)
    with upstream, connect(far, 7000), upstream.accept()[0]:
        idle = keepalive_s(ss(f"dport = {port}", near.enter))
    assert IDLE_S - 60 <= idle <= IDLE_S


def test_what_a_peer_does_not_acknowledge_ends_the_connection(twined, spaces):
    near, far = spaces
    daemon = twined(listener("it", "chargen", "tcp://10.77.0.1:7000", tcp_user_timeout="500ms",
                             write_timeout="1h"), wrapper=near.enter)
    with connect(far, 7000) as client:
        assert receive(client, 1000)
        far.run("ip", "link", "set", "far", "down")
        daemon.wait_log(": closed: ")


def reachable(space, port, host="10.77.0.1"):
    """Whether a client there is answered."""
    try:
        with connect(space, port, host) as client:
            echoed(client)
            return True
    except ConnectionRefusedError:
        return False


def test_a_listener_serves_on_its_interface_only(twined, spaces):
    near, far = spaces

    def config(**keys):
        return listener("it", "echo", "tcp://*:7000, udp://*:7000", **keys)
    daemon = twined(config(bind_device="near"), wrapper=near.enter)
    assert reachable(far, 7000) and not reachable(near, 7000, "127.0.0.1")
    for keys, wanted in (({}, (True, True)), ({"bind_device": "lo"}, (False, True)),
                         ({"bind_device": "near"}, (True, False)), ({}, (True, True)),
                         ({"bind_device": "near"}, (True, False))):
        assert reload(daemon, config(**keys))
        assert (reachable(far, 7000), reachable(near, 7000, "127.0.0.1")) == wanted, keys


def test_two_interfaces_can_have_a_listener_each_at_the_same_address(twined, spaces):
    near, far = spaces
    listeners = [listener("a", "echo", "tcp://*:7000", bind_device="near"),
                 listener("b", "daytime", "tcp://*:7000", bind_device="lo")]
    daemon = twined("".join(listeners), wrapper=near.enter)
    for _ in range(2):
        assert reachable(far, 7000)
        with connect(near, 7000, "127.0.0.1") as client:
            assert receive(client, 3).isalpha()
        assert reload(daemon, "".join(listeners) + "; again\n[defaults]\nbacklog = 5\n")


def test_a_reload_to_an_interface_that_is_not_there_changes_nothing(twined, spaces):
    near, far = spaces
    daemon = twined(listener("it", "echo", "tcp://*:7000"), wrapper=near.enter, errors="error: ")
    assert not reload(daemon, listener("it", "echo", "tcp://*:7000", bind_device="eth99"))
    assert daemon.lines(r"listen: tcp://\*:7000: bind_device: No such device")
    assert reachable(far, 7000) and reachable(near, 7000, "127.0.0.1")


def test_without_the_privilege_a_reload_says_that_it_takes_a_restart(twined, spaces):
    near, far = spaces
    wrapper = [*near.enter, "setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    daemon = twined(listener("it", "echo", "tcp://*:7000", bind_device="near"), wrapper=wrapper,
                    errors="error: ")
    assert not reload(daemon, listener("it", "echo", "tcp://*:7000"))
    assert daemon.lines("bind_device: a bound socket leaves its interface only with CAP_NET_RAW")
    assert reachable(far, 7000) and not reachable(near, 7000, "127.0.0.1")
    # From one to another it is a socket of its own.
    assert reload(daemon, listener("it", "echo", "tcp://*:7000", bind_device="lo"))
    assert not reachable(far, 7000) and reachable(near, 7000, "127.0.0.1")
