import pytest

from surnn_client import InvalidArgument
from surnn_client.address import is_loopback, rest_url, stream_url


@pytest.mark.parametrize(
    ("given", "stream", "rest"),
    [
        ("ws://localhost:8000", "ws://localhost:8000/v1/stream", "http://localhost:8000"),
        ("localhost:8000", "ws://localhost:8000/v1/stream", "http://localhost:8000"),
        ("http://h:1/", "ws://h:1/v1/stream", "http://h:1"),
        ("wss://h/v1/stream", "wss://h/v1/stream", "https://h"),
        ("https://h/base", "wss://h/base/v1/stream", "https://h/base"),
        ("ws://[::1]:9", "ws://[::1]:9/v1/stream", "http://[::1]:9"),
    ],
)
def test_one_address_serves_both(given: str, stream: str, rest: str) -> None:
    assert stream_url(given) == stream
    assert rest_url(given) == rest


@pytest.mark.parametrize("given", ["", "ftp://h", "ws://", "ws://h:x", "ws://h:99999", "ws://["])
def test_no_address(given: str) -> None:
    with pytest.raises(InvalidArgument, match=r"address is .*, expected ws://host:port"):
        stream_url(given)


def test_only_this_machine_is_loopback() -> None:
    assert is_loopback("ws://localhost:1")
    assert is_loopback("ws://127.0.0.2")
    assert is_loopback("http://[::1]:8000")
    assert not is_loopback("ws://example.org")
