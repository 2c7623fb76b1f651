"""`/v1/jobs`: many recordings, scored in the background."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from surnn.events import override_rules
from surnn.formats import Format, render
from surnn.scan import FileScore
from surnn_server.access import principal_of
from surnn_server.apikeys import Scope
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.dependencies import JobsDep, ServiceDep
from surnn_server.errors import responses
from surnn_server.jobs.types import Job, JobOptions, JobState
from surnn_server.negotiation import negotiate
from surnn_server.routes.disconnect import OwningResponse
from surnn_server.routes.files import (
    FILES_BODY,
    ModelQuery,
    SampleRateQuery,
    ThresholdsQuery,
    parse_thresholds,
)
from surnn_server.uploads import uploads

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_SILENCE_S = 15.0
"""Proxies cut connections on which nothing comes."""

Id = Annotated[str, Path(max_length=64, examples=["0f8b5c1e8a5d4c0e9a3f7c1d2b4a6e80"])]


class JobError(BaseModel):
    """What stopped a job."""

    code: str = Field(examples=["storage_full"])
    message: str = Field(examples=["the disk for jobs is full, expected free space"])


class JobStatus(BaseModel):
    """A job as it stands now."""

    id: str = Field(examples=["0f8b5c1e8a5d4c0e9a3f7c1d2b4a6e80"])
    state: JobState = Field(examples=[JobState.RUNNING])
    model: str = Field(examples=["vad"])
    format: Format = Field(examples=[Format.NDJSON])
    files: int = Field(description="Recordings in all", examples=[1200])
    done: int = Field(description="Recordings scored, with those that failed", examples=[800])
    failed: int = Field(description="Recordings that could not be scored", examples=[2])
    seconds: float = Field(description="Length of what was scored so far", examples=[4801.2])
    created: float = Field(description="Unix time", examples=[1767225600.0])
    started: float | None = Field(examples=[1767225601.0])
    finished: float | None = Field(examples=[None])
    error: JobError | None = Field(description="Of a failed job", examples=[None])


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobStatus]


@router.post(
    "",
    summary="Submit a job",
    status_code=202,
    openapi_extra={"requestBody": FILES_BODY},
    responses=responses(
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_CONFIG,
        ErrorCode.INVALID_ARCHIVE,
        ErrorCode.UNKNOWN_MODEL,
        ErrorCode.NOT_ACCEPTABLE,
        ErrorCode.UPLOAD_TOO_BIG,
        ErrorCode.QUOTA_EXCEEDED,
        ErrorCode.AT_CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.STORAGE_FULL,
        ErrorCode.INTERNAL,
    ),
)
async def submit(
    request: Request,
    response: Response,
    service: ServiceDep,
    jobs: JobsDep,
    model: ModelQuery = "vad",
    format: Annotated[
        str, Query(description=f"Of the result: one of {', '.join(Format)}", examples=["ndjson"])
    ] = "json",
    thresholds: ThresholdsQuery = None,
    sample_rate: SampleRateQuery = None,
) -> JobStatus:
    """Recordings, and at most one archive of recordings: .zip, .tar, .tar.gz or .tar.bz2.

    They are kept until they are scored, through restarts of the server if it has a `data_dir`.
    """
    service.check_accepting()
    client = principal_of(request)
    client.require(Scope.SCORE)
    client.quota.audio(0.0)
    chosen = service.find(model).spec
    rules = parse_thresholds(thresholds)
    override_rules(chosen, rules)
    options = JobOptions(chosen.name, chosen.version, negotiate(format, ""), rules, sample_rate)
    async with jobs.place(client), uploads(request, service.settings) as sources:
        job = await jobs.submit(options, sources, client)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _status(job)


@router.get("", summary="Jobs", responses=responses(ErrorCode.INVALID_REQUEST))
async def list_jobs(
    request: Request, jobs: JobsDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JobList:
    """Your newest ones, newest first; with the scope `admin` those of all keys."""
    found = await jobs.newest(limit, principal_of(request))
    return JobList(jobs=[_status(job) for job in found])


@router.get(
    "/{id}",
    summary="One job",
    responses=responses(ErrorCode.UNKNOWN_JOB, ErrorCode.INVALID_REQUEST),
)
async def get_job(request: Request, jobs: JobsDep, id: Id) -> JobStatus:
    """How far it has come."""
    return _status(await jobs.get(id, principal_of(request)))


@router.delete(
    "/{id}",
    summary="Cancel or forget a job",
    responses=responses(ErrorCode.UNKNOWN_JOB, ErrorCode.INVALID_REQUEST),
)
async def cancel_job(request: Request, jobs: JobsDep, id: Id) -> JobStatus:
    """Cancel it if it waits or runs; what was scored is kept. Forget it if it is over."""
    return _status(await jobs.cancel(id, principal_of(request)))


@router.get(
    "/{id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events named by the job's state, each with its status, "
            "until the job is over",
            "content": {
                "text/event-stream": {"example": 'event: running\ndata: {"id": "0f8b…"}\n\n'}
            },
        },
        **responses(ErrorCode.UNKNOWN_JOB, ErrorCode.INVALID_REQUEST, ErrorCode.AT_CAPACITY),
    },
)
async def follow_job(request: Request, jobs: JobsDep, id: Id) -> Response:
    """Its status, now and whenever it has changed."""
    async with AsyncExitStack() as stack:
        news = jobs.watch(id, principal_of(request))
        stack.push_async_callback(news.aclose)
        first = await anext(news)
        assert first is not None, "the first news is how the job stands"
        events = _events(first, news)
        return OwningResponse(events, stack.pop_all(), "text/event-stream")


@router.get(
    "/{id}/result",
    summary="The scores of a job",
    response_class=Response,
    responses={
        200: {
            "description": "One score for each file, in the order in which they were sent",
            "content": {f.media_type: {} for f in Format},
        },
        **responses(
            ErrorCode.UNKNOWN_JOB,
            ErrorCode.NOT_FINISHED,
            ErrorCode.NOT_ACCEPTABLE,
            ErrorCode.INVALID_CONFIG,
            ErrorCode.INVALID_REQUEST,
        ),
    },
)
async def job_result(
    request: Request,
    jobs: JobsDep,
    id: Id,
    format: Annotated[
        str | None,
        Query(description=f"One of {', '.join(Format)}; without it, the job's", examples=["csv"]),
    ] = None,
    partial: Annotated[
        bool, Query(description="Also of a job that is not done: what was scored so far")
    ] = False,
) -> Response:
    """The same text that `/v1/score` gives for the same files, whatever the format."""
    job = await jobs.get(id, principal_of(request))
    form = job.options.format if format is None else negotiate(format, "")
    if job.state is not JobState.DONE and not partial:
        raise Refusal(
            ErrorCode.NOT_FINISHED,
            f"job is {job.state.value} with {job.done} of {job.files} files, expected it to be "
            "done, or partial=true",
        )
    if form.single_file and job.files > 1:
        raise Refusal(
            ErrorCode.INVALID_CONFIG,
            f"{job.files} files, expected one: {form.value} has no place for their names",
        )

    def rendered(scores: Iterator[FileScore]) -> Iterator[str]:
        return render(form, scores)

    pieces = jobs.result(id, rendered)
    first = await anext(pieces, "")
    return StreamingResponse(_chain(first, pieces), media_type=form.media_type)


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for piece in rest:
        yield piece


async def _events(first: Job, news: AsyncGenerator[Job | None, None]) -> AsyncIterator[str]:
    yield f"retry: 2000\n{_event(first)}"
    spoke = time.monotonic()
    async for job in news:
        if job is not None:
            yield _event(job)
        elif time.monotonic() - spoke < _SILENCE_S:
            continue
        else:
            yield ": nothing new\n\n"
        spoke = time.monotonic()


def _event(job: Job) -> str:
    return f"event: {job.state.value}\ndata: {_status(job).model_dump_json()}\n\n"


def _status(job: Job) -> JobStatus:
    fields: dict[str, Any] = {
        name: getattr(job, name)
        for name in (
            "id",
            "state",
            "files",
            "done",
            "failed",
            "seconds",
            "created",
            "started",
            "finished",
        )
    }
    return JobStatus(
        **fields,
        model=job.options.model,
        format=job.options.format,
        error=None if job.error is None else JobError(code=job.error[0], message=job.error[1]),
    )
