"""Unix sockets: mode and owner, stale and live ones, what is no socket, and the end."""

import grp
import os
import pwd
import socket
import stat

import pytest

from support import listener, receive

KINDS = {"unix": socket.SOCK_STREAM, "unixgram": socket.SOCK_DGRAM}


def is_served(daemon, address):
    client = daemon.connect_to(address)
    client.send(b"hi")
    return client.recv(10) == b"hi"


@pytest.mark.parametrize("scheme", KINDS)
@pytest.mark.parametrize("mode", [None, "0600", "0666", "0777"])
def test_socket_mode_is_what_was_said_whatever_the_umask(twined, directory, scheme, mode):
    keys = {"socket_mode": mode} if mode else {}
    old = os.umask(0o027)
    try:
        twined(listener("echo", "echo", f"{scheme}://{directory}/s", **keys))
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(f"{directory}/s").st_mode) == int(mode or "0660", 8)


def test_socket_user_and_group_are_set(twined, directory, root):
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("daemon")
    for name, keys in (("by-name", {"socket_user": "daemon", "socket_group": "daemon"}),
                       ("by-number", {"socket_user": user.pw_uid, "socket_group": group.gr_gid})):
        twined(listener("echo", "echo", f"unix://{directory}/{name}", **keys))
        status = os.stat(f"{directory}/{name}")
        assert (status.st_uid, status.st_gid) == (user.pw_uid, group.gr_gid)


@pytest.mark.parametrize("scheme", KINDS)
def test_a_socket_file_is_removed_at_the_end(twined, directory, scheme):
    daemon = twined(listener("echo", "echo", f"{scheme}://{directory}/s"))
    assert is_served(daemon, f"{scheme}://{directory}/s")
    daemon.stop()
    assert not os.path.exists(f"{directory}/s")


@pytest.mark.parametrize("scheme", KINDS)
def test_the_socket_that_a_killed_daemon_left_is_replaced(twined, directory, scheme):
    config = listener("echo", "echo", f"{scheme}://{directory}/s")
    first = twined(config)
    first.kill()
    assert os.path.exists(f"{directory}/s")
    assert is_served(twined(config), f"{scheme}://{directory}/s")


@pytest.mark.parametrize("scheme", KINDS)
def test_a_live_socket_is_refused_and_goes_on(twined, directory, scheme):
    config = listener("echo", "echo", f"{scheme}://{directory}/s")
    first = twined(config)
    inode = os.stat(f"{directory}/s").st_ino
    log = twined(config, ready=False).fail()
    assert f"{scheme}://{directory}/s" in log and "[listener:echo]" in log
    assert os.stat(f"{directory}/s").st_ino == inode
    assert is_served(first, f"{scheme}://{directory}/s")


@pytest.mark.parametrize("theirs", ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET"])
@pytest.mark.parametrize("scheme", KINDS)
def test_a_live_socket_of_another_program_and_kind_is_refused(twined, directory, scheme, theirs):
    with socket.socket(socket.AF_UNIX, getattr(socket, theirs)) as live:
        live.bind(f"{directory}/s")
        if theirs != "SOCK_DGRAM":
            live.listen(1)
        inode = os.stat(f"{directory}/s").st_ino
        twined(listener("echo", "echo", f"{scheme}://{directory}/s"), ready=False).fail()
        assert os.stat(f"{directory}/s").st_ino == inode


def test_a_live_socket_whose_backlog_is_full_is_refused(twined, directory):
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(f"{directory}/s")
        live.listen(0)
        clients = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            try:
                client.connect(f"{directory}/s")
            except BlockingIOError:
                break
        twined(listener("echo", "echo", f"unix://{directory}/s"), ready=False).fail()
        assert os.path.exists(f"{directory}/s")
        for client in clients:
            client.close()


def test_a_stale_socket_of_another_user_is_an_error_that_leaves_it(twined, directory, root):
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(f"{directory}/s")
    os.chown(f"{directory}/s", 65534, 65534)
    log = twined(listener("echo", "echo", f"unix://{directory}/s"), ready=False).fail()
    assert f"{directory}/s" in log and "[listener:echo]" in log
    assert stat.S_ISSOCK(os.stat(f"{directory}/s").st_mode)


@pytest.mark.parametrize("scheme", KINDS)
def test_a_regular_file_is_an_error_that_leaves_it(twined, directory, scheme):
    with open(f"{directory}/s", "w", encoding="ascii") as file:
        file.write("precious")
    log = twined(listener("echo", "echo", f"{scheme}://{directory}/s"), ready=False).fail()
    assert f"{directory}/s" in log
    with open(f"{directory}/s", encoding="ascii") as file:
        assert file.read() == "precious"


@pytest.mark.parametrize("target", ["missing", "file", "socket"])
def test_a_symbolic_link_is_an_error_that_leaves_it_and_its_target(twined, directory, target):
    os.symlink(f"{directory}/target", f"{directory}/s")
    if target == "file":
        with open(f"{directory}/target", "w", encoding="ascii") as file:
            file.write("precious")
    if target == "socket":
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(f"{directory}/target")
    twined(listener("echo", "echo", f"unix://{directory}/s"), ready=False).fail()
    assert os.path.islink(f"{directory}/s")
    assert os.path.lexists(f"{directory}/target") == (target != "missing")


def test_a_directory_or_a_pipe_is_an_error_that_leaves_it(twined, directory):
    os.mkdir(f"{directory}/d")
    os.mkfifo(f"{directory}/p")
    for name in "dp":
        twined(listener("echo", "echo", f"unix://{directory}/{name}"), ready=False).fail()
        assert os.path.exists(f"{directory}/{name}")


def test_a_path_in_no_directory_is_an_error_that_names_it(twined, directory):
    log = twined(listener("echo", "echo", f"unix://{directory}/none/s"), ready=False).fail()
    assert f"unix://{directory}/none/s" in log and "No such file" in log


def test_a_socket_that_is_not_ours_any_more_is_not_removed_at_the_end(twined, directory):
    daemon = twined(listener("echo", "echo", f"unix://{directory}/s"))
    os.unlink(f"{directory}/s")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{directory}/s")
        daemon.stop()
        assert os.path.exists(f"{directory}/s")


def test_a_failed_start_leaves_no_socket_behind(twined, directory):
    twined(listener("a", "echo", f"unix://{directory}/a")
           + listener("z", "echo", f"unix://{directory}/none/z"), ready=False).fail()
    assert sorted(os.listdir(directory)) == []


@pytest.mark.parametrize("scheme", KINDS)
def test_abstract_sockets_need_no_file(twined, directory, scheme):
    name = "twined-test-%d" % os.getpid()
    config = listener("echo", "echo", f"{scheme}://@{name}")
    daemon = twined(config)
    assert daemon.address("echo", scheme) == f"{scheme}://@{name}"
    assert is_served(daemon, f"{scheme}://@{name}")
    log = twined(config, ready=False).fail()
    assert "in use" in log
    daemon.kill()
    assert is_served(twined(config), f"{scheme}://@{name}")


def test_the_longest_path_is_served_and_a_longer_one_refused(twined, directory):
    for length in (107, 108):
        path = directory + "/" + "s" * (length - len(directory) - 1)
        config = listener("echo", "echo", f"unix://{path}")
        if length == 107:
            daemon = twined(config)
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            client.sendall(b"hi")
            assert receive(client, 2) == b"hi"
            client.close()
            daemon.stop()
            assert not os.path.exists(path)
        else:
            twined(config, ready=False).fail()
