"""Settings of the server, from the environment (`SURNN_PORT=9000`) or from code."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["LogFormat", "LogLevel", "Settings"]


class LogLevel(StrEnum):
    """How much the server logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """Every setting, its default, and what it is for. 0 means no limit where that is said."""

    model_config = SettingsConfigDict(env_prefix="SURNN_", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one"
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that serve; more than one needs Linux, and about a core each",
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="How much to log")
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="text for people, json for programs"
    )
    traces: bool = Field(
        default=False, description="Send OpenTelemetry traces; needs the extra surnn[otel]"
    )

    api_keys_file: str = Field(
        default="", description="JSON file of API keys (see `surnn apikey`); empty: anyone may come"
    )
    token_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        repr=False,
        description="Keys of stream tokens, the sealing one first, separated by commas; "
        "empty: a random one. Servers behind one address need the same",
    )
    token_ttl_s: float = Field(default=60.0, gt=0, description="Life of a stream token")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of web pages that may stream, separated by commas; * for all; "
        "empty: pages of the server's own address",
    )
    ssl_certfile: str = Field(default="", description="TLS certificate chain (PEM)")
    ssl_keyfile: str = Field(default="", description="TLS private key (PEM)")
    ssl_keyfile_password: SecretStr = Field(
        default=SecretStr(""), description="Password of the TLS private key"
    )

    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names or paths of the models to serve, separated by commas; empty: all",
    )

    models_dir: str = Field(
        default="",
        description="Folder of models, NAME/VERSION/model.onnx or NAME/model.onnx, that is "
        "followed while the server runs",
    )
    models_poll_s: float = Field(
        default=5.0, ge=0, description="Time between looks into the models folder; 0: none"
    )
    max_model_bytes: int = Field(
        default=256 << 20, ge=1024, description="Largest model file taken from the models folder"
    )

    max_sessions: int = Field(default=1024, ge=1, description="Streams at the same time")
    max_batch: int = Field(
        default=128, ge=1, description="Streams computed in one call of the runtime"
    )
    max_frames: int = Field(
        default=100,
        ge=1,
        description="Frames of one stream in one call: bounds how long others wait",
    )

    gather_ms: float = Field(
        default=2.0,
        ge=0,
        le=100,
        description="Wait of an idle worker for more streams to share its next call; "
        "up to five times as long between the calls of a busy one",
    )

    admission_wait_ms: float = Field(
        default=250.0,
        ge=0,
        description="Wait of streams for their turn above which new ones are refused; 0: none",
    )
    admission_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of time spent computing above which new streams are refused; 0: none",
    )
    late_after_ms: float = Field(
        default=250.0, gt=0, description="Delay above which a result is counted as late"
    )

    max_message_bytes: int = Field(
        default=1 << 20, ge=1024, description="Largest WebSocket message accepted"
    )
    start_timeout_s: float = Field(
        default=10.0, ge=0, description="Wait for `start` on a new WebSocket; 0: no limit"
    )
    max_unstarted: int = Field(
        default=1024, ge=1, description="WebSockets that have not sent `start` yet"
    )
    max_buffered_seconds: float = Field(
        default=30.0, gt=0, description="Stream time that may wait unprocessed in one session"
    )
    max_buffered_bytes: int = Field(
        default=16 << 20, ge=4096, description="Bytes that may wait unprocessed in one session"
    )
    max_queued_messages: int = Field(
        default=8192, ge=1, description="Messages that may wait unprocessed in one session"
    )
    max_unsent_results: int = Field(
        default=2048, ge=1, description="Results that may wait for a client that reads too slowly"
    )

    checkpoint_interval_s: float = Field(
        default=5.0,
        ge=0,
        description="Time between the checkpoints of a stream whose client does not say; 0: none",
    )
    state_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        repr=False,
        description="Keys of session tokens as `surnn key` prints them, separated by commas: the "
        "first seals, all open; none: a random one, so that tokens do not survive a restart",
    )
    state_ttl_s: float = Field(
        default=86_400.0, gt=0, description="How long a session token can be used"
    )
    idle_timeout_s: float = Field(
        default=60.0, ge=0, description="Longest silence of a client; 0: no limit"
    )
    max_session_s: float = Field(default=0.0, ge=0, description="Longest session; 0: no limit")
    close_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="Wait for a client to read its last messages before it is cut off",
    )
    drain_timeout_s: float = Field(
        default=10.0, ge=0, description="Wait for sessions to end when the server shuts down"
    )
    ping_interval_s: float = Field(default=20.0, gt=0, description="Time between WebSocket pings")
    ping_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="Wait for a pong; above the longest delay that load may cause",
    )

    max_upload_bytes: int = Field(
        default=512 << 20, ge=1024, description="Largest request body that /v1/score accepts"
    )
    upload_grace_s: float = Field(
        default=30.0,
        ge=0,
        description="Wait for a request body that is allowed in any case; 0: no limit",
    )
    min_upload_rate: float = Field(
        default=8192.0, gt=0, description="Bytes a second beyond which a body has more time"
    )
    head_timeout_s: float = Field(
        default=10.0, gt=0, description="Wait for the head of an HTTP request"
    )
    max_upload_files: int = Field(
        default=1000, ge=1, description="Files in one request to /v1/score"
    )
    max_file_seconds: float = Field(
        default=86_400.0, ge=0, description="Longest recording that is scored; 0: no limit"
    )
    score_jobs: int = Field(default=1, ge=1, description="Requests to /v1/score computed at a time")
    score_queue: int = Field(
        default=8,
        ge=0,
        description="Requests to /v1/score that may wait; more are refused with 503",
    )

    max_infer_bytes: int = Field(
        default=64 << 20, ge=1024, description="Largest request body that /v2 accepts, unpacked"
    )
    max_infer_total_bytes: int = Field(
        default=512 << 20, ge=1024, description="Bytes that all requests to /v2 hold together"
    )
    sequence_idle_timeout_s: float = Field(
        default=60.0, ge=0, description="Longest silence within a /v2 sequence; 0: no limit"
    )

    data_dir: str = Field(
        default="",
        description="Folder where jobs are kept; empty: a temporary one that ends with the server",
    )
    job_queue: int = Field(
        default=16, ge=1, description="Jobs that wait or run; more are refused with 503"
    )
    max_job_files: int = Field(default=100_000, ge=1, description="Recordings in one job")
    max_job_bytes: int = Field(
        default=8 << 30, ge=1024, description="Recordings of one job together, unpacked"
    )
    max_jobs_bytes: int = Field(
        default=32 << 30, ge=1024, description="Recordings and results of all jobs together"
    )
    keep_jobs: int = Field(default=100, ge=0, description="Jobs kept after their end")
    keep_jobs_hours: float = Field(
        default=168.0, ge=0, description="Time that a job is kept after its end"
    )

    @field_validator("models", "state_keys", "token_keys", "allowed_origins", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
