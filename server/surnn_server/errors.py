"""Errors over HTTP: one shape for all of them, `{"error": {"code": ..., "message": ...}}`."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from surnn import SurnnError
from surnn_server.codes import ErrorCode, Refusal, clipped, code_of

__all__ = ["ErrorBody", "add_handlers", "error_response", "refusal_response", "responses"]

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 5.0
_CLIENT_CLOSED_REQUEST = 499


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="A stable name for programs", examples=["unknown_model"])
    message: str = Field(
        description="What was seen, then what was expected",
        examples=["no model 'vod', expected one of ['activity', 'vad']"],
    )


class ErrorBody(BaseModel):
    """The body of every response that is not a success."""

    error: ErrorDetail


_EXAMPLES = {
    ErrorCode.UNKNOWN_MODEL: "no model 'vod', expected one of ['activity', 'vad']",
    ErrorCode.INVALID_AUDIO: "a.wav cannot be read as audio, expected WAV, FLAC, Ogg or MP3",
    ErrorCode.INVALID_REQUEST: "files is None, field required",
    ErrorCode.NOT_ACCEPTABLE: "format is 'xml', expected one of ['json', 'ndjson', 'csv']",
    ErrorCode.UPLOAD_TOO_BIG: "body of 2000000000 bytes, expected at most 536870912",
    ErrorCode.INVALID_ARCHIVE: "a.zip holds '../a.wav', expected names inside the archive",
    ErrorCode.UNKNOWN_JOB: "no job '17', expected one that was not deleted and has not expired",
    ErrorCode.NOT_FINISHED: "job is running, expected it to be done, or partial=true",
    ErrorCode.STORAGE_FULL: "the disk for jobs is full, expected free space",
    ErrorCode.AT_CAPACITY: "all sessions are taken, try again later",
    ErrorCode.DRAINING: "the server is shutting down, try another or later",
    ErrorCode.INTERNAL: "the server failed to handle the request",
    ErrorCode.INVALID_TOKEN: "token was not sealed by this service, or was changed since",
    ErrorCode.TOKEN_EXPIRED: "token was sealed 90000 s ago, expected at most 86400 s",
    ErrorCode.WRONG_MODEL: "token belongs to weights 1f…, expected those of one of ['vad']",
    ErrorCode.UNAUTHORISED: "no API key, expected 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
    ErrorCode.FORBIDDEN: "scopes are ['stream'], expected 'admin'",
    ErrorCode.RATE_LIMITED: "more than 60 requests in a minute, expected the next one in 0.8 s",
    ErrorCode.QUOTA_EXCEEDED: "more than 3600 seconds of audio in an hour, expected none for 9 s",
    ErrorCode.AUDIO_TOO_LONG: "a.flac lasts 90000 s or more, expected at most 86400 s",
}


def responses(*codes: ErrorCode) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the errors that a route may give."""
    described: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        entry = described.setdefault(
            code.status,
            {
                "model": ErrorBody,
                "description": "",
                "content": {"application/json": {"examples": {}}},
            },
        )
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{code.value}`"]))
        entry["content"]["application/json"]["examples"][code.value] = {
            "value": {"error": {"code": code.value, "message": _EXAMPLES.get(code, "")}}
        }
    return described


def error_response(
    code: ErrorCode,
    message: str,
    status: int | None = None,
    *,
    retry_after: float | None = None,
) -> JSONResponse:
    """The response that tells a client about an error."""
    headers = {}
    if code.status in (429, 503):
        headers["Retry-After"] = str(math.ceil(retry_after or _RETRY_AFTER_S))
    if code.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        {"error": {"code": code.value, "message": clipped(message)}},
        status_code=status or code.status,
        headers=headers,
    )


def add_handlers(app: FastAPI) -> None:
    """Give every error of the app the same shape."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(SurnnError, _surnn_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _nobody)
    app.add_exception_handler(Exception, _fault)


async def _refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return error_response(error.code, error.message, retry_after=error.retry_after)


async def _surnn_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SurnnError)
    code = code_of(error)
    if code is ErrorCode.INTERNAL:
        log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
        return await _fault(request, error)
    return error_response(code, str(error))


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"][1:]) or "body"
    reason = str(problem["msg"]).replace("Input should be ", "expected ")
    seen = repr(problem.get("input"))
    seen = seen if len(seen) <= 80 else f"{seen[:77]}..."
    message = f"{field} is {seen}, {reason[0].lower() + reason[1:]}"
    return error_response(ErrorCode.INVALID_REQUEST, message)


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    if status == 404:
        message = f"no resource {request.scope['path']!r}, see /docs for those that exist"
        return error_response(ErrorCode.NOT_FOUND, message)
    if status == 405:
        message = f"method {request.method} is not allowed for {request.scope['path']!r}"
        response = error_response(ErrorCode.METHOD_NOT_ALLOWED, message)
        response.headers.update(error.headers or {})
        return response
    code = ErrorCode.UPLOAD_TOO_BIG if status == 413 else ErrorCode.INVALID_REQUEST
    # A body that cannot be read at all is no other error than one that cannot be understood.
    return error_response(code, str(error.detail), code.status if status == 400 else status)


async def _nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    return error_response(ErrorCode.INTERNAL, "the server failed to handle the request")


def refusal_response(path: str, refusal: Refusal) -> JSONResponse:
    """The refusal in the shape of the API that was called."""
    response = error_response(refusal.code, refusal.message, retry_after=refusal.retry_after)
    if path == "/v2" or path.startswith("/v2/"):
        # Clients of the Open Inference Protocol expect plain text under "error".
        headers = {k: v for k, v in response.headers.items() if not k.startswith("content-")}
        return JSONResponse({"error": refusal.message}, response.status_code, headers)
    return response
