"""What a job is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from surnn.formats import Format

__all__ = ["Job", "JobOptions", "JobState", "PendingFile"]


class JobState(StrEnum):
    """Life of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """All files were tried; some of them may have failed."""
    FAILED = "failed"
    """The job itself could not go on."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Will nothing change any more?"""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How the files of a job are scored."""

    model: str
    version: str
    """Of the model: a job does not mix the results of two."""
    format: Format
    """Of the result, where nobody asks for another."""
    thresholds: Mapping[str, Mapping[str, float]]
    sample_rate: int | None
    """Of files that do not say."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands now."""

    id: str
    options: JobOptions
    state: JobState
    created: float
    """Unix time, as the others."""
    started: float | None
    finished: float | None
    files: int
    done: int
    """Files finished, with those that failed."""
    failed: int
    seconds: float
    """Length of all recordings scored so far."""
    error: tuple[str, str] | None
    """Code and message of what stopped the job."""
    owner: str = ""
    """Name of the API key that it was submitted with; empty where no keys were needed."""


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file of a job that was not scored yet."""

    number: int
    name: str
