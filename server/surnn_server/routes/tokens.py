"""`/v1/tokens`: leave to stream, for browsers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field

from surnn_server.access import principal_of
from surnn_server.codes import ErrorCode
from surnn_server.dependencies import ServiceDep
from surnn_server.errors import responses

__all__ = ["router"]

router = APIRouter(tags=["streams"])


class TokenRequest(BaseModel):
    """What the token is for."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(
        default=None,
        max_length=256,
        description="The only model that the token is good for",
        examples=["vad"],
    )
    ttl_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds until it expires; at most, and by default, the server's own",
        examples=[60],
    )


class StreamToken(BaseModel):
    """Leave to open streams for a while."""

    token: str = Field(description="For `/v1/stream?token=…`", examples=["gAAAAABn…"])
    expires_in_s: float = Field(examples=[60.0])


@router.post(
    "/v1/tokens",
    summary="Get a short-lived token for streams",
    responses=responses(
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNKNOWN_MODEL,
        ErrorCode.UNAUTHORISED,
        ErrorCode.FORBIDDEN,
        ErrorCode.RATE_LIMITED,
    ),
)
async def make_token(
    request: Request, service: ServiceDep, wanted: Annotated[TokenRequest | None, Body()] = None
) -> StreamToken:
    """For web pages: they can send no headers with a WebSocket, and should not know your key.

    Your own server asks for a token with its key and hands it to the page.
    """
    wanted = wanted or TokenRequest()
    if wanted.model is not None:
        service.find(wanted.model)
    limit = service.settings.token_ttl_s
    ttl = min(limit, wanted.ttl_s or limit)
    name = principal_of(request).name
    token = service.authenticator.tokens.make(name, wanted.model, ttl)
    return StreamToken(token=token, expires_in_s=ttl)
