"""What keeps several processes from starting; they live and die in tests/faults."""

from __future__ import annotations

import socket

import pytest

from surnn.errors import InvalidConfig
from surnn_server import Settings
from surnn_server.cluster.addresses import listen, reserved
from surnn_server.cluster.supervisor import supervise


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
