"""What the report page is put together from: pieces of HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = [
    "bar",
    "count",
    "escaped",
    "figure",
    "listed",
    "number",
    "section",
    "short",
    "tabulated",
    "tile",
]


def section(title: str, content: str) -> str:
    return f"<section><h2>{escaped(title)}</h2>{content}</section>" if content else ""


def figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{escaped(caption)}</figcaption></figure>"


def tile(value: str, name: str) -> str:
    return f"<div><b>{escaped(value)}</b><span>{escaped(name)}</span></div>"


def tabulated(head: Sequence[str], rows: Iterable[Sequence[str]], raw: Sequence[int] = ()) -> str:
    body = "".join(
        "<tr>"
        + "".join(f"<td>{c if i in raw else escaped(c)}</td>" for i, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    top = "".join(f"<th>{escaped(name)}</th>" for name in head)
    return f"<div class=wide><table><tr>{top}</tr>{body}</table></div>"


def bar(value: object) -> str:
    if not isinstance(value, int | float):
        return "–"
    return f'<i style="width:{60 * value:.0f}px"></i> {value:.3f}'


def listed(values: Sequence[object], most: int = 12) -> str:
    if not values:
        return "none"
    words = ", ".join(str(v) for v in values[:most])
    return f"{len(values)}: {words}" + (", …" if len(values) > most else "")


def number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def short(value: object, unit: str = "") -> str:
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}{unit}" if value >= 10 or value == 0 else f"{value:.1f}{unit}"


def count(number: object, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def escaped(text: str) -> str:
    """Text as HTML."""
    """So many of these."""
    """As many digits as are of use, or a dash."""
    """Three digits behind the point, or a dash."""
    """How many there are, and the first of them."""
    """A number and a bar as long."""
    """Rows under a head. `raw`: columns that hold HTML."""
    """A figure that is seen first."""
    """A drawing with words below it."""
    """A headed part of the page; nothing where there is no content."""
    return html.escape(text)
