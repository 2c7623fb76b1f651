"""`/v1/score`: labels with times for uploaded files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from surnn.formats import Format, render
from surnn.score import FileScore
from surnn_server.access import principal_of
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.dependencies import ServiceDep
from surnn_server.errors import responses
from surnn_server.negotiation import negotiate
from surnn_server.quotas import Quota
from surnn_server.routes.disconnect import OwningResponse, unless_disconnected
from surnn_server.routes.files import (
    FILES_BODY,
    ModelQuery,
    SampleRateQuery,
    ThresholdsQuery,
    parse_thresholds,
)
from surnn_server.service import Service
from surnn_server.uploads import uploads

__all__ = ["router"]

router = APIRouter(tags=["files"])

_SCORE = (
    '{"file": "call.wav", "model": "vad", "seconds": 12.3, "segments": [{"label": "speech", '
    '"start": 1.23, "end": 4.56, "score": 0.98}], "sparsity": {"open_rate": [0.17, 0.16], '
    '"updates": 26000, "skipped": 131440, "possible": 157440}, "cost": {"compute_ms": 24.1, '
    '"realtime_factor": 510.4}}'
)
_EXAMPLES: dict[Format, str] = {
    Format.JSON: f"[\n{_SCORE}\n]\n",
    Format.NDJSON: f"{_SCORE}\n",
    Format.CSV: "file,start_s,end_s,label,score,error\ncall.wav,1.230,4.560,speech,0.9800,\n",
    Format.RTTM: "SPEAKER call 1 1.230 3.330 <NA> <NA> speech 0.9800 <NA>\n",
    Format.AUDACITY: "1.230000\t4.560000\tspeech\n",
    Format.WEBVTT: "WEBVTT\n\n00:00:01.230 --> 00:00:04.560\nspeech\n",
}


@router.post(
    "/v1/score",
    summary="Score files",
    response_class=Response,
    openapi_extra={"requestBody": FILES_BODY},
    responses={
        200: {
            "description": "One score for each file, in the order in which they are finished",
            "content": {f.media_type: {"example": text} for f, text in _EXAMPLES.items()},
        },
        **responses(
            ErrorCode.INVALID_REQUEST,
            ErrorCode.INVALID_CONFIG,
            ErrorCode.INVALID_AUDIO,
            ErrorCode.UNKNOWN_MODEL,
            ErrorCode.NOT_ACCEPTABLE,
            ErrorCode.UPLOAD_TOO_BIG,
            ErrorCode.AUDIO_TOO_LONG,
            ErrorCode.STORAGE_FULL,
            ErrorCode.AT_CAPACITY,
            ErrorCode.DRAINING,
            ErrorCode.INTERNAL,
        ),
    },
)
async def score(
    request: Request,
    service: ServiceDep,
    model: ModelQuery = "vad",
    format: Annotated[
        str | None,
        Query(
            description=f"One of {', '.join(Format)}; without it, `Accept` decides",
            examples=["ndjson"],
        ),
    ] = None,
    thresholds: ThresholdsQuery = None,
    sample_rate: SampleRateQuery = None,
) -> Response:
    """Score one or many files of any length.

    Several files are scored side by side and streamed, each as soon as it is finished; what is
    wrong with one of them is told in its score. An error of a single file is the response's.
    """
    service.check_accepting()
    quota = principal_of(request).quota
    quota.audio(0.0)
    chosen = service.find(model)
    form = negotiate(format, request.headers.get("accept", ""))
    rules = parse_thresholds(thresholds)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.jobs.place())
        sources = await stack.enter_async_context(uploads(request, service.settings))
        if form.single_file and len(sources) > 1:
            raise Refusal(
                ErrorCode.INVALID_CONFIG,
                f"{len(sources)} files, expected one: {form.value} has no place for their names",
            )
        job = await stack.enter_async_context(
            service.jobs.job(
                chosen, sources, rules, sample_rate, service.settings.max_file_seconds or None
            )
        )
        if len(sources) == 1:
            only = await unless_disconnected(request, job.first())
            _count(service, quota, only)
            if only.error is not None:
                raise Refusal(_code(only.error.code), only.error.message)
            return Response("".join(render(form, [only])), media_type=form.media_type)

        def rendered(scores: Iterator[FileScore]) -> Iterator[str]:
            return render(form, _counted(service, quota, scores))

        return OwningResponse(job.pieces(rendered), stack.pop_all(), form.media_type)


def _count(service: Service, quota: Quota, score: FileScore) -> None:
    """Tell the metrics and the client's account about a file."""
    quota.spend(score.seconds)
    outcome = "ok" if score.error is None else score.error.code
    service.metrics.files.labels(score.model, outcome).inc()


def _counted(service: Service, quota: Quota, scores: Iterator[FileScore]) -> Iterator[FileScore]:
    for item in scores:
        _count(service, quota, item)
        yield item


def _code(name: str) -> ErrorCode:
    try:
        return ErrorCode(name)
    except ValueError:
        return ErrorCode.INVALID_AUDIO
