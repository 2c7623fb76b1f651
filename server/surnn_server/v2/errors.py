"""Errors of `/v2`: the protocol's own shape, `{"error": "..."}`, which its clients rely on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from surnn import SurnnError
from surnn_server.codes import ErrorCode, Refusal, clipped, code_of
from surnn_server.errors import error_response

__all__ = ["V2Route"]

log = logging.getLogger(__name__)

_FAULT = "the server failed to handle the request"


class V2Route(APIRoute):
    """A route whose every error has the protocol's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, guarded."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except Refusal as refusal:
                return _response(refusal.code, refusal.message, refusal.retry_after)
            except SurnnError as error:
                code = code_of(error)
                if code is ErrorCode.INTERNAL:
                    log.exception("%s %s failed", request.method, request.scope["path"])
                    return _response(code, _FAULT)
                return _response(code, str(error))
            except RequestValidationError as error:
                return _response(ErrorCode.INVALID_REQUEST, str(error.errors()[0]["msg"]))
            except (HTTPException, ClientDisconnect):
                raise
            except Exception:
                log.exception("%s %s failed", request.method, request.scope["path"])
                return _response(ErrorCode.INTERNAL, _FAULT)

        return guarded


def _response(code: ErrorCode, message: str, retry_after: float | None = None) -> JSONResponse:
    plain = error_response(code, message, retry_after=retry_after)
    status = plain.status_code
    # What cannot be processed is a plain 400 in this protocol, and so is the end of a sequence.
    if status == 422 or (status == 500 and code is not ErrorCode.INTERNAL):
        status = 400
    headers = {k: v for k, v in plain.headers.items() if k in ("retry-after", "www-authenticate")}
    return JSONResponse({"error": clipped(message)}, status_code=status, headers=headers)
