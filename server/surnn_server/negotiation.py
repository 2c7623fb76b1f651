"""Which format a client wants: `?format=` before `Accept`. No I/O."""

from __future__ import annotations

from surnn import InvalidConfig
from surnn.formats import Format, parse_format
from surnn_server.codes import ErrorCode, Refusal

__all__ = ["negotiate"]

_ANYTHING = {"*/*", "application/*"}


def negotiate(name: str | None, accept: str) -> Format:
    """The format of that name, else the best one that the header accepts. Raises `Refusal`."""
    if name is not None:
        return _parse(name)
    ranges = sorted(_ranges(accept), key=lambda item: -item[1])
    for media_type, quality in ranges:
        if quality <= 0:
            continue
        if media_type in _ANYTHING:
            return Format.JSON
        if media_type == "text/*":
            return Format.CSV
        for choice in Format:
            if media_type == choice.media_type:
                return choice
    if not ranges:
        return Format.JSON
    known = [choice.media_type for choice in Format]
    raise Refusal(ErrorCode.NOT_ACCEPTABLE, f"Accept is {accept[:80]!r}, expected one of {known}")


def _parse(name: str) -> Format:
    try:
        return parse_format(name)
    except InvalidConfig as error:
        raise Refusal(ErrorCode.NOT_ACCEPTABLE, str(error)) from error


def _ranges(accept: str) -> list[tuple[str, float]]:
    """Media ranges and their qualities, in order."""
    found = []
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not media_type:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        found.append((media_type, quality))
    return found
