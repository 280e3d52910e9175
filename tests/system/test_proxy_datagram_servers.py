"""Real servers of datagrams behind the proxy: dnsmasq asked by dig, and iperf3, each over TCP as
well."""

import getpass
import json

import pytest

from datagram_peers import summary
from servers import client
from support import SANITIZED, free_address, listener

NAMES = 200
TEXT = 1100		# bytes of a long answer


@pytest.fixture
def dns(twined, real_server):
    """dnsmasq behind a proxy that serves both: the daemon, and what runs dig."""
    records = [f"--address=/name{number}.test/192.0.2.{number % 250 + 1}"
               for number in range(NAMES)]
    pieces = ",".join(["x" * 200] * (TEXT // 200))
    it = real_server().start(lambda it: [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv",
        "--no-hosts", f"--user={getpass.getuser()}", f"--port={it.port}",
        "--listen-address=127.0.0.1",
        "--bind-interfaces", "--edns-packet-max=4096", f"--txt-record=long.test,{pieces}",
        *records])
    # Both have one number, as a resolver needs it.
    where = free_address().partition("://")[2]
    upstream = it.address().partition("://")[2]
    daemon = twined(listener("dns", "proxy", f"tcp://{where}, udp://{where}",
                             upstream=f"tcp://{upstream}, udp://{upstream}"))

    def dig(*options):
        return client("dig", "@127.0.0.1", "-p", where.rpartition(":")[2], "+tries=1", "+time=20",
                      *options).decode()
    return daemon, dig


@pytest.mark.parametrize("way", ["+notcp", "+tcp"])
def test_dig_asks_dnsmasq(dns, directory, way):
    daemon, dig = dns
    with open(f"{directory}/names", "w", encoding="ascii") as file:
        file.writelines(f"name{number}.test A\n" for number in range(NAMES))
    answers = dig("+short", way, "-f", f"{directory}/names").split()
    assert answers == [f"192.0.2.{number % 250 + 1}" for number in range(NAMES)]
    counts = summary(daemon, "dns")
    if way == "+tcp":
        assert counts["accepted"] == NAMES and counts["datagrams in"] == 0
    else:
        assert counts["datagrams in"] == counts["datagrams out"] == NAMES
        assert counts["accepted"] == 0


def test_a_long_answer_comes_whole_or_by_way_of_tcp(dns):
    daemon, dig = dns
    assert dig("+short", "+notcp", "+bufsize=4096", "long.test",
               "TXT").count("x") == TEXT // 200 * 200
    assert summary(daemon, "dns")["accepted"] == 0
    # What does not fit comes cut by the server itself, and dig asks again over TCP.
    assert dig("+short", "+noedns", "long.test", "TXT").count("x") == TEXT // 200 * 200
    assert summary(daemon, "dns")["accepted"] == 1


@pytest.mark.parametrize("way", ["sends", "receives"])
def test_iperf3_over_udp(twined, real_server, way):
    it = real_server().start(lambda it: ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(it.port)])
    where = free_address().partition("://")[2]
    upstream = it.address().partition("://")[2]
    daemon = twined(listener("web", "proxy", f"tcp://{where}, udp://{where}",
                             upstream=f"tcp://{upstream}, udp://{upstream}"))
    rate = "5M" if SANITIZED else "50M"
    report = json.loads(client("iperf3", "-c", "127.0.0.1", "-p", where.rpartition(":")[2],
                               "--json",
                               "-u", "-b", rate, "-l", "1400", "-t", "2",
                               *(["-R"] if way == "receives" else [])))
    assert "error" not in report
    total = report["end"]["sum"]
    # A busy machine may lose many, but nothing comes twice, cut or out of order.
    assert total["packets"] > 100
    assert total["lost_percent"] < 100
    assert all(stream["udp"].get("out_of_order", 0) == 0 for stream in report["end"]["streams"])
    assert summary(daemon, "web")["datagrams in" if way == "sends" else "datagrams out"] > 100
