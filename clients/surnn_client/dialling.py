"""Opening connections to whichever server is there."""

from __future__ import annotations

from surnn_client.connection import Connection, Deliver, open_connection
from surnn_client.exceptions import ClientError, ConnectionFailed
from surnn_client.reconnect import Addresses
from surnn_client.wire import StreamOptions

__all__ = ["Dialler", "worth_another"]


class Dialler:
    """Connects to one address after the other.

    Args:
        addresses: where servers may be.
        deliver: takes the messages of every connection.
        open_timeout: bounds each attempt, in seconds.
        api_key: opens the server; None: the environment's.
    """

    def __init__(
        self,
        addresses: Addresses,
        deliver: Deliver,
        open_timeout: float | None,
        api_key: str | None,
    ) -> None:
        self.addresses = addresses
        self._deliver = deliver
        self._open_timeout = open_timeout
        self._api_key = api_key

    async def dial(self, options: StreamOptions) -> Connection:
        """Connect to the current address, and start the stream there."""
        return await open_connection(
            self.addresses.current,
            options,
            self._deliver,
            open_timeout=self._open_timeout,
            api_key=self._api_key,
        )

    async def first(self, options: StreamOptions) -> Connection:
        """Connect to the first address that answers. Raises the last one's error."""
        for left in reversed(range(len(self.addresses))):
            try:
                return await self.dial(options)
            except ClientError as error:
                if not left or not worth_another(error):
                    raise
                self.addresses.advance()
        raise AssertionError("there is always an address")


def worth_another(error: ClientError) -> bool:
    """May another attempt, perhaps elsewhere, do better?"""
    return error.retryable or isinstance(error, ConnectionFailed)
