"""OpenTelemetry traces, where they are wanted: a span for each connection and each batch.

The packages come with the extra `otel`. Where to send spans is said by OpenTelemetry's own
environment (`OTEL_EXPORTER_OTLP_ENDPOINT`), or by a provider that was set up before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

import surnn
from surnn.errors import MissingDependency

__all__ = ["NO_TRACES", "Span", "Tracer", "make_tracer"]

Attributes = Mapping[str, str | int | float]


class Span(Protocol):
    """Something that takes time."""

    def set_attribute(self, key: str, value: str | int | float) -> None:
        """Say more about it."""

    def end(self) -> None:
        """It is over."""


class Tracer(Protocol):
    """Makes spans."""

    def start_span(self, name: str, *, attributes: Attributes) -> Span:
        """Something begins."""
        ...


class _NoSpan:
    def set_attribute(self, key: str, value: str | int | float) -> None:
        pass

    def end(self) -> None:
        pass


class _NoTracer:
    def start_span(self, name: str, *, attributes: Attributes) -> Span:
        return _NO_SPAN


_NO_SPAN = _NoSpan()
NO_TRACES: Tracer = _NoTracer()


def make_tracer(wanted: bool) -> Tracer:
    """The tracer to use. Raises `MissingDependency` when traces are wanted and cannot be made."""
    if not wanted:
        return NO_TRACES
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        raise _missing("opentelemetry-sdk") from None
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(_provider(TracerProvider))
    tracer: Tracer = trace.get_tracer("surnn", surnn.__version__)
    return tracer


def _provider(kind: Any) -> Any:
    """A provider that sends spans away in a thread of its own."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise _missing("opentelemetry-exporter-otlp-proto-http") from None
    name = os.environ.get("OTEL_SERVICE_NAME", "surnn")
    provider = kind(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _missing(package: str) -> MissingDependency:
    return MissingDependency(
        f"SURNN_TRACES is on and {package} is not installed, expected `pip install surnn[otel]`"
    )
