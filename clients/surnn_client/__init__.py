"""Clients of a surnn server: streams over WebSocket, files over REST. Needs no surnn.

from surnn_client import connect

with connect("ws://localhost:8000", model="vad", sample_rate=16_000) as stream:
    for message in stream.run(microphone_chunks()):
        print(message)
"""

from surnn_client.aio import AsyncStream, connect_async
from surnn_client.connecting import ConnectOptions
from surnn_client.exceptions import (
    ClientError,
    ConnectionFailed,
    ConnectionLost,
    InvalidArgument,
    InvalidRequest,
    NotAllowed,
    ProtocolViolation,
    ServerBusy,
    ServerError,
    ServerFault,
    SessionExpired,
    StreamClosed,
)
from surnn_client.messages import (
    Checkpoint,
    Chunk,
    Cost,
    Error,
    EventMessage,
    LabelProbs,
    Limits,
    Marker,
    Message,
    ModelInfo,
    Ready,
    Reconnected,
    Sparsity,
    StreamInfo,
    Summary,
    Warning_,
)
from surnn_client.pacing import paced, paced_async, pieces
from surnn_client.reconnect import Reconnect
from surnn_client.rest import Client
from surnn_client.scores import FileError, FileScore, Health, Segment, ServedModel
from surnn_client.sync import Stream, connect
from surnn_client.wire import StreamOptions, dump, parse, to_dict

__all__ = [
    "AsyncStream",
    "Checkpoint",
    "Chunk",
    "Client",
    "ClientError",
    "ConnectOptions",
    "ConnectionFailed",
    "ConnectionLost",
    "Cost",
    "Error",
    "EventMessage",
    "FileError",
    "FileScore",
    "Health",
    "InvalidArgument",
    "InvalidRequest",
    "LabelProbs",
    "Limits",
    "Marker",
    "Message",
    "ModelInfo",
    "NotAllowed",
    "ProtocolViolation",
    "Ready",
    "Reconnect",
    "Reconnected",
    "Segment",
    "ServedModel",
    "ServerBusy",
    "ServerError",
    "ServerFault",
    "SessionExpired",
    "Sparsity",
    "Stream",
    "StreamClosed",
    "StreamInfo",
    "StreamOptions",
    "Summary",
    "Warning_",
    "connect",
    "connect_async",
    "dump",
    "paced",
    "paced_async",
    "parse",
    "pieces",
    "to_dict",
]
