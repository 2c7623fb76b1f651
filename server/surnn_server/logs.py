"""How log lines look: text for people, one JSON object a line for programs."""

from __future__ import annotations

import datetime
import logging

import orjson

from surnn_server.settings import LogFormat, Settings

__all__ = ["JsonFormatter", "TextFormatter", "set_up_logs", "without_addresses"]

_TEXT = "%(asctime)s %(levelname)-7s {}%(name)s: %(message)s"
# What every record has; anything else was given by whoever logs.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
}


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROLS |= {0x2028: "\\u2028", 0x2029: "\\u2029"}


class TextFormatter(logging.Formatter):
    """One line for each message, whatever a client has put into it.

    Args:
        worker: number of this process where a server has several.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__(_TEXT.format("" if worker is None else f"[{worker}] "))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, without what follows from an exception."""
        # Line breaks would forge lines, and escapes reach the terminal of whoever reads.
        return super().formatMessage(record).translate(_CONTROLS)


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, and the fields of the call, such as `session`.

    Args:
        worker: number of this process where a server has several.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._process: dict[str, object] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
        }
        fields |= {k: v for k, v in vars(record).items() if k not in _USUAL and k not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # Lone surrogates, which a client may have sent, are no JSON.
        return orjson.dumps(_encodable(fields), default=str).decode()


def set_up_logs(settings: Settings, worker: int | None = None) -> None:
    """Log to standard error, as the settings say. Does nothing where logging was set up already.

    Args:
        worker: number of this process where a server has several.
    """
    handler = logging.StreamHandler()
    is_json = settings.log_format is LogFormat.JSON
    handler.setFormatter(JsonFormatter(worker) if is_json else TextFormatter(worker))
    logging.basicConfig(level=settings.log_level.value.upper(), handlers=[handler])
    # A warning for every odd byte of a form would let any client fill the disk with logs.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def without_addresses(record: logging.LogRecord) -> bool:
    """A filter for uvicorn's log: it tells the address of every WebSocket, with its token."""
    return not str(record.msg).startswith('%s - "WebSocket %s"')


def _encodable(fields: dict[str, object]) -> dict[str, object]:
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }
