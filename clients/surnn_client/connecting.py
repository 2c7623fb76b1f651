"""What `connect` and `connect_async` take: one list of options for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from surnn_client.connection import Deliver
from surnn_client.durable import DurableConnection
from surnn_client.options import Overflow, Priority, Report, StreamOptions
from surnn_client.reconnect import Reconnect, Urls

__all__ = ["ConnectOptions", "prepare"]


class ConnectOptions(TypedDict, total=False):
    """Options of a stream. None, or none given, leaves a choice to the server and the model."""

    model: str
    """Name of a served model: "vad" if none is given."""
    sample_rate: int | None
    encoding: str | None
    """How bytes are read: pcm_s16le, pcm_f32le, mulaw, alaw, f32le, ..."""
    channels: int | None
    report: Report | None
    """What is told: events only, chunks too, or every frame."""
    report_interval_ms: float | None
    """Least stream time that one `Chunk` covers."""
    thresholds: Mapping[str, Mapping[str, float]] | None
    """Changes to the model's event rules, by label."""
    overflow: Overflow | None
    """What the server does with samples that it has no room for."""
    priority: Priority | None
    """Who computes first when all cannot at once."""
    api_key: str | None
    """The environment's `SURNN_API_KEY` when None."""
    reconnect: Reconnect | bool
    """When to give up a stream whose connection is lost; False: at once."""
    resume: str | None
    """The token of another stream to go on from; send from `ready.position` on."""
    open_timeout: float | None
    """Bounds connecting, in seconds: 10 if none is given."""


def prepare(url: Urls, deliver: Deliver, **options: Unpack[ConnectOptions]) -> DurableConnection:
    """A connection that is still to be opened. Raises `TypeError` on other options."""
    unknown = sorted(options.keys() - ConnectOptions.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"option {unknown[0]!r}, expected one of {list(ConnectOptions.__annotations__)}"
        )
    rest: dict[str, Any] = dict(options)
    reconnect = rest.pop("reconnect", True)
    open_timeout, api_key = rest.pop("open_timeout", 10.0), rest.pop("api_key", None)
    return DurableConnection(
        url,
        StreamOptions(**rest),
        deliver,
        reconnect=reconnect,
        open_timeout=open_timeout,
        api_key=api_key,
    )
