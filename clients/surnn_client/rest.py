"""The REST client: files, models, health.

with Client("http://localhost:8000") as client:
    for score in client.score(["call.wav", "meeting.flac"]):
        print(score.file, score.segments)
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType

import httpx

from surnn_client.address import is_loopback, rest_url
from surnn_client.credentials import headers
from surnn_client.exceptions import InvalidRequest
from surnn_client.requests import (
    File,
    batches,
    check_status,
    file_name,
    query,
    upload,
    wire_error,
)
from surnn_client.scores import (
    FileScore,
    Health,
    ServedModel,
    failed_score,
    parse_health,
    parse_models,
    parse_score,
)

__all__ = ["Client"]

_OF_THE_FILE = {"invalid_audio", "audio_too_long"}
Thresholds = Mapping[str, Mapping[str, float]]


class Client:
    """Calls of one server. A context manager.

    Args:
        url: `http://host:port`; a stream's address works too.
        timeout: longest silence of the server, in seconds; scoring a long file is silent.
        api_key: the environment's `SURNN_API_KEY` when None.

    Every call raises `ConnectionFailed`, `ConnectionLost`, `ServerError` or `ProtocolViolation`.
    """

    def __init__(
        self, url: str, *, timeout: float | None = 600.0, api_key: str | None = None
    ) -> None:
        self.url = rest_url(url)
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers(api_key),
            timeout=httpx.Timeout(timeout, connect=10.0),
            trust_env=not is_loopback(self.url),
            # The certificates that streams trust: the system's, or those that SSL_CERT_FILE names.
            verify=ssl.create_default_context() if self.url.startswith("https") else True,
        )

    def models(self) -> list[ServedModel]:
        """The models that are served."""
        return parse_models(self._get("/v1/models"))

    def health(self) -> Health:
        """How the server does. Raises `ServerBusy` while it takes no streams."""
        return parse_health(self._get("/readyz"))

    def score(
        self,
        files: Iterable[File],
        *,
        model: str = "vad",
        thresholds: Thresholds | None = None,
        sample_rate: int | None = None,
    ) -> Iterator[FileScore]:
        """Score any number of files, each as soon as it is finished, a few in each request.

        Args:
            files: paths, or pairs of a name and its bytes or open file.
            model: name of a served model.
            thresholds: changes to the model's event rules, by label.
            sample_rate: of files that do not say, such as tables.

        A file that cannot be scored gives a `FileScore` with an `error`.
        """
        for batch in batches(files):
            yield from self._score_batch(batch, query(model, "ndjson", thresholds, sample_rate))

    def score_text(
        self,
        files: Iterable[File],
        *,
        format: str,
        model: str = "vad",
        thresholds: Thresholds | None = None,
        sample_rate: int | None = None,
    ) -> str:
        """Score files in one request, as text: json, ndjson, csv, rttm, audacity or webvtt."""
        with self._posted(list(files), query(model, format, thresholds, sample_rate)) as response:
            return response.read().decode()

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, path: str) -> bytes:
        try:
            response = self._http.get(path)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise wire_error(error, self.url) from error
        check_status(response)
        return response.content

    def _score_batch(self, batch: dict[str, File], params: dict[str, str]) -> Iterator[FileScore]:
        try:
            with self._posted(list(batch.values()), params) as response:
                for line in response.iter_lines():
                    if line:
                        yield _renamed(parse_score(line), batch)
        except InvalidRequest as error:
            # Of a single file the server tells what is wrong with it as its whole answer.
            if len(batch) > 1 or error.code not in _OF_THE_FILE:
                raise
            (file,) = batch.values()
            yield failed_score(file_name(file), params["model"], error.code, error.message)

    @contextmanager
    def _posted(self, files: list[File], params: dict[str, str]) -> Iterator[httpx.Response]:
        with ExitStack() as opened:
            parts = []
            for file in files:
                part = upload(file)
                if not isinstance(file, tuple):
                    opened.enter_context(part[1][1])
                parts.append(part)
            try:
                with self._http.stream("POST", "/v1/score", params=params, files=parts) as response:
                    if not response.is_success:
                        response.read()
                        check_status(response)
                    yield response
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise wire_error(error, self.url) from error


def _renamed(score: FileScore, batch: dict[str, File]) -> FileScore:
    """The score under the path that the caller gave: the server knows only the name."""
    if score.file not in batch:
        return score
    return FileScore(
        file_name(batch[score.file]),
        score.model,
        score.seconds,
        score.segments,
        score.sparsity,
        score.cost,
        score.error,
    )
