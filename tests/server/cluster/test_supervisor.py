"""What keeps several processes from starting; they live and die in tests/faults."""

from __future__ import annotations

import multiprocessing
import os
import socket

import pytest

from surnn.errors import InvalidConfig
from surnn_server import Settings
from surnn_server.cluster.addresses import listen, reserved
from surnn_server.cluster.membership import Membership
from surnn_server.cluster.supervisor import Supervisor, supervise


@pytest.fixture
def taken():
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_not_shared(taken):
    with pytest.raises(InvalidConfig, match=rf"^cannot listen on port {taken} of '127\.0\.0\.1'"):
        supervise(Settings(workers=2, port=taken))


def test_nor_one_of_another_server_with_workers():
    with (
        reserved("127.0.0.1", 0) as (address,),
        listen(address) as member,
    ):
        member.listen()
        with pytest.raises(InvalidConfig, match="expected a free port"):
            supervise(Settings(workers=2, port=address.port))


def test_an_address_of_another_machine():
    with pytest.raises(InvalidConfig, match=r"of '192\.0\.2\.1' \(Cannot assign"):
        supervise(Settings(workers=2, host="192.0.2.1"))
    with pytest.raises(InvalidConfig, match=r"of 'nowhere\.invalid'"):
        supervise(Settings(workers=2, host="nowhere.invalid"))


def test_all_addresses_have_one_port():
    with reserved("", 0) as addresses:
        assert len({address.port for address in addresses}) == 1
        assert addresses[0].port > 0


def test_a_folder_too_deep_for_sockets(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(InvalidConfig, match=r"expected at most 90 characters.*set TMPDIR"):
        supervise(Settings(workers=2, port=0))
    assert list(deep.iterdir()) == []


class Processes:
    """Starts members that serve at once, but for the first few, which are killed at their start."""

    exitcode = -9

    def __init__(self, killed):
        self.killed, self.started = killed, []

    def Pipe(self, duplex):
        return multiprocessing.Pipe(duplex)

    def Process(self, target, args, name):
        self.told = args[-1]
        self.started.append(args[1])
        return self

    def start(self):
        if len(self.started) > self.killed:
            self.told.send(None)

    def join(self):
        """It is dead."""


@pytest.fixture
def supervisor(tmp_path):
    found = Supervisor(Settings(workers=2), tmp_path, [])
    yield found
    found._ledger.close()
    os.close(found._wake_read)
    os.close(found._wake_write)


def test_a_worker_that_is_killed_at_its_start_is_started_again(supervisor):
    supervisor._context = Processes(killed=2)
    supervisor._start_all()
    assert sorted(supervisor._context.started) == [0, 0, 1, 1]
    assert set(supervisor._members) == {0, 1}


def test_but_not_for_ever(supervisor):
    supervisor._context = Processes(killed=100)
    with pytest.raises(InvalidConfig, match=r"^worker [01]: it ended at its start 3 times"):
        supervisor._start_all()


def test_members_are_missing_until_each_has_opened_its_door(tmp_path):
    membership = Membership(0, 2, tmp_path, ledger=None)
    assert membership.missing == 2
    membership.own_socket.touch()
    assert membership.missing == 1
    membership.socket(1).touch()
    assert membership.missing == 0
