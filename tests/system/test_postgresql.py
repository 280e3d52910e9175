"""PostgreSQL behind the proxy: pgbench's transactions keep their books, copies arrive whole."""

import hashlib
import signal
import subprocess

import pytest

from servers import client, program
from support import PATIENCE, SANITIZED, wait_for

CLIENTS = 8
TRANSACTIONS = 100 // (2 if SANITIZED else 1)		# of each client
WAYS = ["tcp-tcp", "tcp-unix", "unix-tcp", "unix-unix"]


@pytest.fixture(scope="module")
def postgresql(module_real_server):
    """A PostgreSQL with pgbench's tables."""
    it = module_real_server("postgres")		# it refuses to run as root
    it.run("initdb", "-D", it.path("db"), "-U", "bench", "-A", "trust", "-E", "UTF8",
           "--locale=C", "--no-sync", "--no-instructions")
    it.start(lambda it: ["postgres", "-D", it.path("db"), "-F", "-p", str(it.port),
                         "-c", "listen_addresses=127.0.0.1", "-k", it.directory,
                         "-c", "shared_buffers=32MB", "-c", "synchronous_commit=off",
                         "-c", "autovacuum=off"])
    it.socket = f".s.PGSQL.{it.port}"
    it.stop_signal = signal.SIGINT			# does not wait for its clients
    where = ["-h", it.directory, "-p", str(it.port), "-U", "bench"]
    is_ready = [program("pg_isready"), "-q", *where]
    wait_for(lambda: subprocess.run(is_ready, check=False).returncode == 0, "PostgreSQL is ready",
             3 * PATIENCE)
    it.where = where
    return it


@pytest.fixture
def through(postgresql, forward, directory):
    """The options of clients that lead to the server by way of a proxy."""
    def start(way):
        front, back = way.split("-")
        daemon = forward(postgresql.address(postgresql.socket if back == "unix" else None),
                         f"{directory}/.s.PGSQL.5432")
        if front == "unix":
            return ["-h", directory, "-p", "5432", "-U", "bench"]
        return ["-h", "127.0.0.1", "-p", str(daemon.port("web")), "-U", "bench"]
    return start


def query(where, text):
    return psql(where, text, "-A", "-t").decode().split()


def psql(where, command, *options, data=None):
    return client("psql", "-X", "-q", *options, *where, "-d", "postgres", "-c", command, data=data)


@pytest.mark.parametrize("way", WAYS)
def test_pgbench_keeps_its_books(postgresql, through, way):
    where = through(way)
    client("pgbench", "-i", "-q", "-s", "1", *where, "postgres")
    assert query(where, "select count(*), sum(abalance) from pgbench_accounts") == ["100000|0"]
    text = client("pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS),
                  *where, "postgres").decode()
    number = CLIENTS * TRANSACTIONS
    assert f"number of transactions actually processed: {number}/{number}\n" in text
    assert "number of failed transactions: 0 " in text
    # Asked without the proxy: every transaction is there, once, in each of the four books.
    books = query(postgresql.where, """
        select (select sum(abalance) from pgbench_accounts),
        (select sum(bbalance) from pgbench_branches), (select sum(tbalance) from pgbench_tellers),
        sum(delta), count(*) from pgbench_history""")
    accounts, branches, tellers, history, count = books[0].split("|")
    assert accounts == branches == tellers == history
    assert int(count) == number


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_reads_with_a_connection_for_each_transaction(through, protocol):
    where = through("tcp-unix")
    client("pgbench", "-i", "-q", "-s", "1", *where, "postgres")
    text = client("pgbench", "-n", "-S", "-C", "-M", protocol, "-c", str(CLIENTS), "-j", "2",
                  "-t", "20", *where, "postgres").decode()
    assert f"transactions actually processed: {20 * CLIENTS}/{20 * CLIENTS}\n" in text


def test_a_large_table_is_copied_out_and_in_whole(postgresql, through):
    where = through("tcp-tcp")
    rows = 200000 // (4 if SANITIZED else 1)
    table = f"select i, md5(i::text), repeat(md5((-i)::text), 4) from generate_series(1, {rows}) i"
    data = psql(where, f"copy ({table}) to stdout")
    digest = hashlib.sha256(psql(postgresql.where, f"copy ({table}) to stdout")).digest()
    assert data.count(b"\n") == rows
    assert hashlib.sha256(data).digest() == digest
    psql(where, "create table copied (i int, a text, b text)")
    psql(where, "copy copied from stdin", data=data)
    back = psql(postgresql.where, "copy (select * from copied order by i) to stdout")
    assert hashlib.sha256(back).digest() == digest


def test_a_query_is_cancelled_by_way_of_a_second_connection(through):
    where = through("tcp-tcp")
    active = ("select count(*) from pg_stat_activity where query like '%pg_sleep%' "
              "and state = 'active' and pid <> pg_backend_pid()")
    command = [program("psql"), "-X", *where, "-d", "postgres", "-c", "select pg_sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as sleeper:
        wait_for(lambda: query(where, active) == ["1"], "the query runs")
        sleeper.send_signal(signal.SIGINT)
        text, _ = sleeper.communicate(timeout=PATIENCE)
    assert b"canceling statement due to user request" in text
