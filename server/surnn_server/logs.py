"""How log lines look: text for people, one JSON object a line for programs."""

from __future__ import annotations

import datetime
import logging

import orjson

from surnn_server.settings import LogFormat, Settings

__all__ = ["JsonFormatter", "set_up_logs"]

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# What every record has; anything else was given by whoever logs.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
}


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, and the fields of the call, such as `session`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {k: v for k, v in vars(record).items() if k not in _USUAL and k not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # Lone surrogates, which a client may have sent, are no JSON.
        return orjson.dumps(_encodable(fields), default=str).decode()


def set_up_logs(settings: Settings) -> None:
    """Log to standard error, as the settings say. Does nothing where logging was set up already."""
    handler = logging.StreamHandler()
    is_json = settings.log_format is LogFormat.JSON
    handler.setFormatter(JsonFormatter() if is_json else logging.Formatter(_TEXT))
    logging.basicConfig(level=settings.log_level.value.upper(), handlers=[handler])
    # A warning for every odd byte of a form would let any client fill the disk with logs.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def _encodable(fields: dict[str, object]) -> dict[str, object]:
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }
