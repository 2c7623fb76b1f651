"""Tables of `surnn eval`: frames, words, or anomalies of telemetry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["anomalies", "frames", "words"]

_PERCENT = (
    "accuracy",
    "f1",
    "auc",
    "false_alarm_rate",
    "miss_rate",
    "open_rate",
    "open_rate_speech",
    "open_rate_nonspeech",
)


_ROWS = (
    ("threshold", "threshold", ".2f"),
    ("f1", "F1 of rows", ".4f"),
    ("far_percent", "false alarms, % of rows", ".2f"),
    ("mar_percent", "missed, % of rows", ".2f"),
    ("changepoints", "changepoints", ".0f"),
    ("changepoints_met", "met within 60 rows", ".0f"),
    ("delay_rows_median", "median delay, rows", ".1f"),
    ("false_changepoints", "false changepoints", ".0f"),
    ("nab", "NAB score", ".2f"),
    ("windows", "windows", ".0f"),
    ("windows_found", "windows found", ".0f"),
    ("false_alarms", "false alarms", ".0f"),
)


def frames(figures: dict[str, Any]) -> None:
    """Measures over frames: of all, of each label, of the least accurate files."""
    from rich.table import Table

    from surnn_cli.console import output

    console = output()
    _head(figures, f", frames of {figures['frame_ms']:g} ms")
    rows = [(n.replace("_", " "), _figure(figures[n])) for n in _PERCENT if n in figures]
    rows.append(("seconds recorded", f"{figures['seconds']:,.1f}"))
    rows.append(("times real time", f"{figures['realtime_factor']:,.0f}"))
    console.print(_summary(rows))
    console.print()
    console.print(_labels(figures["labels"]))
    files = figures["files"]
    shown = sorted(files.items(), key=lambda item: item[1].get("accuracy") or 0.0)[:10]
    table = Table(
        title=f"Least accurate of {len(files)} files" if len(files) > len(shown) else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("file", overflow="fold")
    for name in ("accuracy", "f1", "auc", "open rate"):
        table.add_column(name, justify="right", no_wrap=True)
    for file, row in shown:
        table.add_row(
            file, *(_figure(row.get(key)) for key in ("accuracy", "f1", "auc", "open_rate"))
        )
    console.print()
    console.print(table)


def _labels(labels: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("label", no_wrap=True)
    for name in ("f1", "auc", "missed", "false alarms", "events found", "false/hour", "latency ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, row in labels.items():
        events = row.get("events")
        found = f"{events['found']} of {events['truth']}" if events else "-"
        rate = _rounded(events["false_per_hour"]) if events else "-"
        late = _rounded(events["latency_ms_median"]) if events else "-"
        rates = (row.get(k) for k in ("f1", "auc", "miss_rate", "false_alarm_rate"))
        table.add_row(label, *(_figure(r) for r in rates), found, rate, late)
    return table


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"


def words(figures: dict[str, Any]) -> None:
    """Words right, wrong and missed, and false events where there are none."""
    from rich.table import Table

    from surnn_cli.console import output

    console = output()
    _head(figures, "")
    found = figures["words"]
    rows = [
        ("words", f"{found['words']:,}"),
        ("named right", _figure(found["accuracy"])),
        ("named right, some word forced", _figure(found["forced_accuracy"])),
        ("median delay, ms", _rounded(found["delay_ms_median"])),
        ("hours without words", f"{found['hours_without']:.3f}"),
        ("false events there", f"{found['false']:,}"),
        ("false events an hour", _figure(found["false_per_hour"])),
        ("open rate", _figure(figures["open_rate"])),
        ("times real time", f"{figures['realtime_factor']:,.0f}"),
    ]
    console.print(_summary(rows))
    for column, values in found["by"].items():
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(column, overflow="fold")
        for head in ("words", "right", "forced", "hours without", "false/hour"):
            table.add_column(head, justify="right", no_wrap=True)
        for value, row in values.items():
            table.add_row(
                value,
                f"{row['words']:,}",
                _figure(row["accuracy"]),
                _figure(row["forced_accuracy"]),
                f"{row['hours_without']:.3f}",
                _figure(row["false_per_hour"]),
            )
        console.print()
        console.print(table)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("word", no_wrap=True)
    for head in ("spoken", "right", "called"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, row in found["labels"].items():
        table.add_row(name, *(f"{row[k]:,}" for k in ("words", "right", "called")))
    console.print()
    console.print(table)


def anomalies(figures: dict[str, Any]) -> None:
    """Scores of the model beside those of baselines without a network."""
    from rich.table import Table

    from surnn_cli.console import output

    console = output()
    _head(figures, f" ({figures['thresholds']})")
    columns = {figures["model"]: figures, **figures["baselines"]}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for key, title, form in _ROWS:
        if key in figures:
            table.add_row(title, *(format(one[key], form) for one in columns.values()))
    console.print(table)
    console.print(
        f"\n{figures['rows']:,} rows, open rate {figures['open_rate']:.4f}, "
        f"{figures['values_per_second']:,} values a second",
        markup=False,
    )


def _head(figures: dict[str, Any], more: str) -> None:
    from surnn_cli.console import output

    output().print(
        f"model {figures['model']} version {figures['version']}, "
        f"{figures['data']['recordings']} recordings ({figures['data']['part']}), "
        f"threshold {figures['threshold']:g}{more}\n",
        markup=False,
    )


def _summary(rows: Iterable[tuple[str, str]]) -> Any:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(name, value)
    return table
