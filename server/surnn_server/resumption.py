"""From a token in `start` to the session that it holds. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from surnn import SurnnError
from surnn.snapshot import Snapshot
from surnn_server.codes import ErrorCode, Refusal, code_of
from surnn_server.messages import Start
from surnn_server.tokens import TokenSealer

__all__ = ["Resumption", "find_model", "resumption"]


@dataclass(frozen=True, slots=True)
class Resumption:
    """A session that is to go on."""

    model: str
    """Name of the served model that it belongs to."""
    snapshot: Snapshot


def resumption(start: Start, sealer: TokenSealer, models: Mapping[str, str]) -> Resumption | None:
    """What `start` wants to go on from; None when it begins a stream.

    Args:
        start: the client's message.
        sealer: opens its token.
        models: fingerprints of the served models by their names.

    Raises `Refusal`, also when another option of `start` contradicts the token.
    """
    if start.resume is None:
        return None
    try:
        snapshot = sealer.open(start.resume)
    except SurnnError as error:
        raise Refusal(code_of(error), str(error)) from error
    named = start.model if "model" in start.model_fields_set else None
    model = find_model(snapshot, models, named)
    _check_options(start, snapshot)
    return Resumption(model, snapshot)


def find_model(snapshot: Snapshot, models: Mapping[str, str], named: str | None) -> str:
    """The served model that the session belongs to. Raises `Refusal`."""
    fingerprint = snapshot.state.model
    if named is not None and named not in models:
        raise Refusal(
            ErrorCode.UNKNOWN_MODEL, f"no model {named!r}, expected one of {sorted(models)}"
        )
    fitting = sorted(name for name, own in models.items() if own == fingerprint)
    if named is not None and named not in fitting:
        raise Refusal(
            ErrorCode.WRONG_MODEL,
            f"token belongs to weights {fingerprint}, expected those of {named!r}: {models[named]}",
        )
    if not fitting:
        raise Refusal(
            ErrorCode.WRONG_MODEL,
            f"token belongs to weights {fingerprint}, expected those of one of {sorted(models)}",
        )
    return named or fitting[0]


def _check_options(start: Start, snapshot: Snapshot) -> None:
    state = snapshot.state
    for name in ("encoding", "sample_rate", "channels"):
        seen, saved = getattr(start, name), getattr(state, name)
        if seen is not None and seen != saved:
            raise Refusal(
                ErrorCode.INVALID_CONFIG,
                f"{name} is {seen}, expected {saved} as in the session to resume, or nothing",
            )
    if "thresholds" in start.model_fields_set and start.thresholds != state.thresholds:
        raise Refusal(
            ErrorCode.INVALID_CONFIG,
            f"thresholds are {start.thresholds}, "
            f"expected {state.thresholds} as in the session to resume, or nothing",
        )
