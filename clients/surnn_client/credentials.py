"""The API key that a client sends, from its caller or from the environment."""

from __future__ import annotations

import os

from surnn_client.exceptions import InvalidArgument

__all__ = ["API_KEY_VARIABLE", "headers"]

API_KEY_VARIABLE = "SURNN_API_KEY"


def headers(api_key: str | None) -> dict[str, str]:
    """The headers that carry the key; none without one. Raises `InvalidArgument`."""
    key = os.environ.get(API_KEY_VARIABLE, "") if api_key is None else api_key
    key = key.strip()
    if not key:
        return {}
    # Not shown: messages end up in logs.
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidArgument("the API key holds characters that no key has, expected plain ASCII")
    return {"Authorization": f"Bearer {key}"}
