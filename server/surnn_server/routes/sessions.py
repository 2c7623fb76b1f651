"""`/v1/sessions`: live sessions, and their state for migration and forking. For operators."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field, ValidationError

from surnn import Encoding
from surnn.engine import Engine
from surnn.errors import InvalidInput
from surnn.snapshot import Snapshot, pack, unpack
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.connection import Connection
from surnn_server.dependencies import ServiceDep
from surnn_server.errors import responses
from surnn_server.resumption import find_model
from surnn_server.saved import Checkpointed
from surnn_server.service import Service
from surnn_server.session import StreamSession
from surnn_server.uploads import check_size

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/sessions",
    tags=["sessions"],
    responses=responses(ErrorCode.UNAUTHORISED, ErrorCode.FORBIDDEN),
)

_BYTES = "application/octet-stream"
_MAX_BODY = 1 << 20
_SAVE_TIMEOUT_S = 10.0


class LiveSession(BaseModel):
    """One open stream."""

    session: str = Field(examples=["6b1f0c"])
    key: str = Field(
        description="Name of its API key; empty where none is needed", examples=["app"]
    )
    model: str = Field(examples=["vad"])
    seconds: float = Field(description="Length of the stream computed so far", examples=[12.5])
    position: int = Field(description="Samples taken in so far", examples=[200_000])


class LiveSessions(BaseModel):
    """All open streams of this server."""

    sessions: list[LiveSession]


class SavedSession(BaseModel):
    """A session that any server with the same key and model can go on with."""

    model: str = Field(examples=["vad"])
    position: int = Field(description="First sample that is wanted next", examples=[200_000])
    frames: int = Field(examples=[1250])
    events: int = Field(description="Events found before", examples=[4])
    encoding: Encoding = Field(examples=[Encoding.PCM_S16LE])
    sample_rate: int = Field(examples=[16000])
    channels: int = Field(examples=[1])
    token: str = Field(description="For `resume` in `start`", examples=["gAAAAABn..."])


class Token(BaseModel):
    """What to check."""

    token: str


_STATE_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": Token.model_json_schema()},
        _BYTES: {"schema": {"type": "string", "format": "binary"}},
    },
}
_STATE_ERRORS = responses(
    ErrorCode.INVALID_REQUEST,
    ErrorCode.INVALID_TOKEN,
    ErrorCode.TOKEN_EXPIRED,
    ErrorCode.WRONG_MODEL,
    ErrorCode.UPLOAD_TOO_BIG,
)


@router.get("", summary="Open streams")
async def list_sessions(service: ServiceDep) -> LiveSessions:
    """In order of their ids."""
    found = [
        LiveSession(
            session=connection.id,
            key=connection.key,
            model=session.spec.name,
            seconds=session.length,
            position=session.position,
        )
        for connection in sorted(_connections(service), key=lambda c: c.id)
        if (session := connection.session) is not None
    ]
    return LiveSessions(sessions=found)


@router.get(
    "/{session}/state",
    summary="The state of an open stream",
    response_model=SavedSession,
    responses={
        200: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}},
        **responses(ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST),
    },
)
async def get_state(
    request: Request, service: ServiceDep, session: Annotated[str, Path(examples=["6b1f0c"])]
) -> Response | SavedSession:
    """Saved between two turns; the stream goes on, and its client is told the checkpoint too.

    With `Accept: application/octet-stream` the bare state, for servers that have another key.
    """
    live = _live(service, session)
    token = (await _soon(live.save())).token
    snapshot = service.sealer.open(token)
    if request.headers.get("accept", "") == _BYTES:
        return Response(pack(snapshot), media_type=_BYTES)
    return _described(live.spec.name, live.spec.lookahead, snapshot, token)


@router.put(
    "/{session}/state",
    summary="Let an open stream go on from another state",
    openapi_extra={"requestBody": _STATE_BODY},
    responses={**_STATE_ERRORS, **responses(ErrorCode.NOT_FOUND, ErrorCode.INVALID_CONFIG)},
)
async def put_state(
    request: Request, service: ServiceDep, session: Annotated[str, Path(examples=["6b1f0c"])]
) -> SavedSession:
    """A token as JSON, or the bytes of a state, of the same weights, rate, encoding and channels.

    Put in place between two chunks: whole, or not at all. What has been taken in is forgotten, what
    is still on its way continues the new state. The client is told where its stream stands now.
    """
    live = _live(service, session)
    snapshot = await _snapshot(request, service)
    state = snapshot.state
    if state.model != live.fingerprint:
        raise Refusal(
            ErrorCode.WRONG_MODEL,
            f"state belongs to weights {state.model}, expected {live.fingerprint} of the stream",
        )
    for name in ("encoding", "sample_rate", "channels"):
        seen, own = getattr(state, name), getattr(live.config, name)
        if seen != own:
            raise Refusal(
                ErrorCode.INVALID_CONFIG,
                f"{name} of the state is {seen}, expected {own} as in the stream",
            )
    saved = await _soon(live.replace(snapshot))
    return _described(live.spec.name, live.spec.lookahead, snapshot, saved.token)


@router.post(
    "/state",
    summary="Check a state, and get a token for it",
    openapi_extra={"requestBody": _STATE_BODY},
    responses=_STATE_ERRORS,
)
async def post_state(request: Request, service: ServiceDep) -> SavedSession:
    """A token as JSON, or the bytes of a state: does it fit a model that is served here?

    The answer's token is sealed anew, with this server's key: a stream that starts with it goes
    on from that state, as often as one likes.
    """
    snapshot = await _snapshot(request, service)
    name = find_model(snapshot, service.fingerprints, None)
    runtime = service.models[name].runtime

    def check() -> None:
        engine = Engine(runtime)
        try:
            engine.close(engine.restore(snapshot))
        except InvalidInput as error:
            raise Refusal(ErrorCode.INVALID_TOKEN, f"state does not fit: {error}") from error

    await asyncio.to_thread(check)
    return _described(name, runtime.spec.lookahead, snapshot, service.sealer.seal(snapshot))


def _connections(service: Service) -> list[Connection]:
    return [c for c in service.connections if isinstance(c, Connection)]


def _live(service: Service, id: str) -> StreamSession:
    for connection in _connections(service):
        if connection.id == id and connection.session is not None:
            return connection.session
    raise Refusal(ErrorCode.NOT_FOUND, f"no session {id[:80]!r}, see /v1/sessions")


async def _soon(work: Coroutine[None, None, Checkpointed]) -> Checkpointed:
    try:
        async with asyncio.timeout(_SAVE_TIMEOUT_S):
            return await work
    except TimeoutError:
        raise Refusal(ErrorCode.INTERNAL, "the session's turn did not come in time") from None


async def _snapshot(request: Request, service: Service) -> Snapshot:
    """The state in a request. Raises `Refusal` or what is wrong with the state."""
    body = await _read(request)
    if request.headers.get("content-type", "") == _BYTES:
        return unpack(body)
    return service.sealer.open(_token(body))


def _described(model: str, lookahead: int, snapshot: Snapshot, token: str) -> SavedSession:
    state = snapshot.state
    return SavedSession(
        model=model,
        position=state.position,
        frames=max(0, state.frames - lookahead),
        events=state.events,
        encoding=state.encoding,
        sample_rate=state.sample_rate,
        channels=state.channels,
        token=token,
    )


def _token(body: bytes) -> str:
    try:
        return Token.model_validate_json(body).token
    except ValidationError as error:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, 'body is something else, expected {"token": "..."}'
        ) from error


async def _read(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        check_size(len(body), _MAX_BODY)
    return body
