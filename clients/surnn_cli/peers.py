"""Tables of `surnn eval --peers`: one model beside other detectors."""

from __future__ import annotations

from typing import Any

__all__ = ["print_comparison"]

_SHARES = ("auc", "accuracy", "f1")


def print_comparison(figures: dict[str, Any]) -> None:
    """One table for all recordings, and one for each further column of their table of labels."""
    from rich.table import Table

    from surnn_cli.console import output

    console = output()
    detectors: dict[str, Any] = figures["detectors"]
    console.print(
        f"{figures['data']['recordings']} recordings, frames of {figures['frame_ms']:g} ms, "
        f"thresholds of the peers {figures['thresholds_of_peers']}\n",
        markup=False,
    )
    table = _table(Table, "")
    for name, one in detectors.items():
        table.add_row(f"{name} {one['version']}", *_row(one["all"]))
    console.print(table)
    columns = next(iter(detectors.values()))["by"]
    for column, values in columns.items():
        table = _table(Table, column.replace("_", " "))
        for value in values:
            for name, one in detectors.items():
                table.add_row(f"{value}  {name}", *_row(one["by"][column][value]))
        console.print()
        console.print(table)


def _table(kind: Any, first: str) -> Any:
    table = kind(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for head in ("auc", "accuracy", "f1", "false/hour", "onset ms", "open"):
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _row(figures: dict[str, Any]) -> list[str]:
    events = figures["events"]
    more = (events["false_per_hour"], events["latency_ms_median"])
    return [
        *(_text(figures[k], 3) for k in _SHARES),
        *(_text(v, 0) for v in more),
        _text(figures.get("open_rate"), 3),
    ]


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
