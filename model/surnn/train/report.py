"""The report page of a training run: one HTML file that needs nothing else and no network."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surnn.dataset.record import DataRecord
from surnn.dataset.split import Part
from surnn.evaluate import Evaluation
from surnn.measures import match_events
from surnn.spec import ModelSpec
from surnn.train.charts import (
    calibration_chart,
    det_chart,
    latency_chart,
    roc_chart,
    style,
    svg,
)
from surnn.train.config import Config
from surnn.train.loop import Fit
from surnn.train.plots import confusion_table, learning, raster, switch_rates
from surnn.train.report_html import (
    bar,
    count,
    escaped,
    figure,
    listed,
    number,
    section,
    short,
    tabulated,
    tile,
)
from surnn.train.report_style import CSS
from surnn.types import Float32, Int64

__all__ = ["REPORT", "switch_health", "write_report"]

REPORT = "report.html"
_DEAD, _STUCK = 0.001, 0.999
_ROWS = 12


def write_report(
    path: Path,
    config: Config,
    found: Fit,
    figures: Mapping[str, Any],
    evaluation: Evaluation | None,
    record: DataRecord | None,
    out: Path,
) -> Path:
    """Write `report.html` into a model's folder.

    Args:
        path: the config file.
        config: what was trained.
        found: the run and its best network.
        figures: the content of metrics.json.
        evaluation: of recordings kept apart; None: the figures of the validation are shown.
        record: how the data were divided, where the config does not say.
        out: the folder.
    """
    spec = found.network.spec
    with style():
        parts = [
            _head(spec, figures, evaluation, record),
            section("Errors", _errors(found, evaluation)),
            section("Labels", _labels(evaluation)),
            section("Confusion", _confusion(spec, found, evaluation)),
            section("From inside", _inside(found)),
            section("Switches", _switches(found)),
            section("Recordings, the worst first", _recordings(evaluation)),
            section("Held-out streams", _groups(figures)),
            section("Training", _training(path, found, figures, record)),
            section("Data", _data(record, figures)),
        ]
    title = f"{spec.name} {spec.version}"
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escaped(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )
    target = out / REPORT
    target.write_text(page, encoding="utf-8")
    return target


def switch_health(rates: Sequence[Float32]) -> list[dict[str, Any]]:
    """Per layer: switches, mean open rate, and which of them never or always open.

    rates: per layer the share of frames in which each switch was open.
    """
    return [
        {
            "layer": i + 1,
            "switches": len(layer),
            "mean": float(layer.mean()),
            "dead": np.flatnonzero(layer < _DEAD).tolist(),
            "always_open": np.flatnonzero(layer > _STUCK).tolist(),
        }
        for i, layer in enumerate(rates)
    ]


def _head(
    spec: ModelSpec,
    figures: Mapping[str, Any],
    evaluation: Evaluation | None,
    record: DataRecord | None,
) -> str:
    main: Mapping[str, Any] = evaluation.figures if evaluation else figures.get("main", {})
    tiles = [("accuracy", main.get("accuracy")), ("F1", main.get("f1", main.get("macro_f1")))]
    tiles += [("AUC", main.get("auc")), ("open rate", main.get("open_rate"))]
    cells = [tile(number(v), name) for name, v in tiles if v is not None]
    if evaluation is not None:
        late = [x for values in _latencies(spec, evaluation).values() for x in values]
        if late:
            cells.append(tile(f"{1000 * float(np.median(late)):.0f} ms", "median onset latency"))
        false = sum(r["events"]["false"] for r in _label_rows(evaluation) if "events" in r)
        hours = float(main["seconds"]) / 3600.0
        cells.append(tile(short(false / hours), "false events per hour"))
        cells.append(tile(f"{main['realtime_factor']:,.0f}×", "real time, one core"))
    run = figures["training"]
    cells.append(tile(f"{run['parameters']:,}", "parameters"))
    return (
        f"<header><h1>{escaped(spec.name)} <small>{escaped(spec.version)}</small></h1>"
        f"<p>{escaped(spec.description)}</p><p class=note>{escaped(_basis(evaluation, record))}</p>"
        f"<div class=tiles>{''.join(cells)}</div></header>"
    )


def _basis(evaluation: Evaluation | None, record: DataRecord | None) -> str:
    """What the figures were measured on, and what they are worth."""
    if evaluation is None or record is None:
        return (
            "Measured on the validation data of the config: checkpoint and thresholds were chosen "
            "on them, so that the figures flatter."
        )
    about = evaluation.figures["data"]
    assert isinstance(about, dict)
    what = f"{count(about['recordings'], 'recording')} of {count(about['groups'], 'group')} "
    what += f"kept apart by {record.rule}, streamed through the exported model. "
    if about["part"] == Part.TEST:
        return what + "Nothing was chosen on them."
    return what + "Checkpoint and thresholds were chosen on them: there is no untouched test part."


def _errors(found: Fit, evaluation: Evaluation | None) -> str:
    curves = dict(found.report.curves)
    calibration: Mapping[str, Any] = {}
    spec = found.network.spec
    if evaluation is not None:
        curves = _curves(spec, evaluation)
        calibration = evaluation.figures.get("calibration", {})  # type: ignore[assignment]
    curves = {k: v for k, v in curves.items() if v[1].any() and not v[1].all()}
    out = []
    if curves:
        out.append(figure(svg(roc_chart(curves), "ROC curves"), "ROC, frame by frame"))
        out.append(figure(svg(det_chart(curves), "DET curves"), "Detection error trade-off"))
    if calibration.get("bins"):
        chart = svg(calibration_chart(calibration["bins"]), "calibration")
        note = f"Calibration: expected error {100 * calibration['ece']:.1f} %"
        out.append(figure(chart, note))
    if evaluation is not None:
        late = _latencies(spec, evaluation)
        if any(late.values()):
            chart = svg(latency_chart(late), "onset latencies")
            out.append(figure(chart, "Latency of onsets, lookahead and waiting included"))
    return f"<div class=grid>{''.join(out)}</div>" if out else ""


def _curves(
    spec: ModelSpec, evaluation: Evaluation
) -> dict[str, tuple[Float32, np.ndarray[Any, np.dtype[np.bool_]]]]:
    known = np.concatenate([h.truth.known for h in evaluation.heard])
    probs = np.concatenate([h.probs for h in evaluation.heard])[known]
    truth = np.concatenate([h.truth.labels for h in evaluation.heard])[known]
    return {label: (probs[:, i], truth[:, i]) for i, label in enumerate(spec.labels)}


def _latencies(spec: ModelSpec, evaluation: Evaluation) -> dict[str, list[float]]:
    late: dict[str, list[float]] = {}
    for heard in evaluation.heard:
        for label, match in match_events(spec, heard.probs, heard.segments).items():
            late.setdefault(label, []).extend(match.latencies)
    return late


def _label_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    labels = evaluation.figures["labels"]
    assert isinstance(labels, dict)
    return [{"label": name, **row} for name, row in labels.items()]


def _labels(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    head = (
        "label",
        "frames F1",
        "AUC",
        "missed",
        "false alarms",
        "events found",
        "false per hour",
        "latency median",
        "latency 90 %",
        "open rate",
    )
    rows = []
    for row in _label_rows(evaluation):
        events = row.get("events", {})
        found = f"{events['found']} of {events['truth']}" if events else "–"
        rows.append(
            (
                row["label"],
                *(number(row.get(k)) for k in ("f1", "auc", "miss_rate", "false_alarm_rate")),
                found,
                short(events.get("false_per_hour")),
                short(events.get("latency_ms_median"), " ms"),
                short(events.get("latency_ms_p90"), " ms"),
                number(row.get("open_rate")),
            )
        )
    return tabulated(head, rows)


def _confusion(spec: ModelSpec, found: Fit, evaluation: Evaluation | None) -> str:
    table: Int64 | None = None
    if evaluation is not None and "confusion" in evaluation.figures:
        table = np.array(evaluation.figures["confusion"])
    elif evaluation is None and found.report.confusion is not None:
        table = found.report.confusion[1]
    if table is None:
        return ""
    drawn = svg(confusion_table(spec.labels, table), "confusion table")
    return f"<div class=half>{figure(drawn, 'Share of the frames of each true label')}</div>"


def _inside(found: Fit) -> str:
    if found.report.example is None:
        return ""
    drawn = svg(raster(found.report.example), "waveform, probabilities, open rate, switches")
    return figure(
        drawn,
        "What goes in, what comes out (shaded: the truth), how many switches are open, and each "
        "switch by itself",
    )


def _switches(found: Fit) -> str:
    rates = found.report.neuron_rates
    if not rates:
        return ""
    rows = [
        (
            str(h["layer"]),
            str(h["switches"]),
            number(h["mean"]),
            listed(h["dead"]),
            listed(h["always_open"]),
        )
        for h in switch_health(rates)
    ]
    table = tabulated(
        ("layer", "switches", "mean open rate", "never open (< 0.1 %)", "always open (> 99.9 %)"),
        rows,
    )
    drawn = svg(switch_rates(list(rates)), "open rates of switches")
    return table + f"<div class=half>{figure(drawn, 'How often switches are open')}</div>"


def _recordings(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    files = evaluation.figures["files"]
    assert isinstance(files, dict)
    groups = {h.name: h.group for h in evaluation.heard}
    order = sorted(files.items(), key=lambda item: item[1].get("accuracy") or 0.0)
    rows = []
    for name, row in order:
        events = [r["events"] for r in row["labels"].values() if "events" in r]
        rows.append(
            (
                name,
                groups.get(name, ""),
                f"{row['seconds']:.1f} s",
                bar(row.get("accuracy")),
                *(number(row.get(k)) for k in ("f1", "auc")),
                str(sum(e["missed"] for e in events)),
                str(sum(e["false"] for e in events)),
                number(row.get("open_rate")),
            )
        )
    head = (
        "recording",
        "group",
        "length",
        "accuracy",
        "F1",
        "AUC",
        "missed events",
        "false events",
        "open rate",
    )
    table = tabulated(head, rows[:_ROWS], raw=(3,))
    if len(rows) > _ROWS:
        rest = tabulated(head, rows[_ROWS:], raw=(3,))
        table += f"<details><summary>{len(rows) - _ROWS} more</summary>{rest}</details>"
    return table


def _groups(figures: Mapping[str, Any]) -> str:
    """The validation streams of tasks that mix their own."""
    groups = figures.get("groups", ())
    if not groups:
        return ""
    keys = [k for k in groups[0] if k not in ("group", "snr_db")]
    rows = [
        (
            str(g["group"]) + ("" if g.get("snr_db") is None else f", {g['snr_db']:g} dB"),
            *(number(g.get(k)) for k in keys),
        )
        for g in sorted(groups, key=lambda g: g.get("accuracy") or 0.0)
    ]
    return tabulated(("streams", *(k.replace("_", " ") for k in keys)), rows)


def _training(path: Path, found: Fit, figures: Mapping[str, Any], record: DataRecord | None) -> str:
    run, training = figures["training"], found.network.spec.training
    words = (
        f"{run['steps']} steps, {run['clips']:,} clips ({run['hours_of_audio']:g} h), "
        f"{run['minutes']:g} minutes, seed {training.get('seed')}, finished {run['finished']}."
    )
    command = f"surnn train {path.name} --out {found.network.spec.name}"
    if record is None:
        command += " --data DIR"
    drawn = svg(learning(found.history), "learning curve")
    text = html.escape(path.read_text(encoding="utf-8"))
    return (
        f"<pre>{escaped(command)}</pre><p>{escaped(words)}</p>"
        f"<div class=half>{figure(drawn, 'Loss, held-out score and open rate')}</div>"
        f"<details><summary>{escaped(path.name)}</summary><pre>{text}</pre></details>"
    )


def _data(record: DataRecord | None, figures: Mapping[str, Any]) -> str:
    if record is None:
        rows = figures.get("data", ())
        head = ("role", "source", "kind", "part", "licence")
        body = [
            (r["role"], r.get("source") or r["folder"], r["kind"], r["part"], r["licence"])
            for r in rows
        ]
        return tabulated(head, body)
    rows_ = []
    for part in Part:
        files = [f for f in record.files if f.part is part]
        groups = sorted({f.group for f in files})
        minutes = sum(f.seconds for f in files) / 60.0
        rows_.append((part.value, str(len(files)), f"{minutes:.1f}", listed(groups)))
    short = tabulated(("part", "recordings", "minutes", "groups"), rows_)
    each = tabulated(
        ("recording", "group", "part", "seconds"),
        [(f.file, f.group, f.part.value, f"{f.seconds:.1f}") for f in record.files],
    )
    rule = f"<p>Divided by {escaped(record.rule)}, seed {record.seed}; groups stay whole.</p>"
    return f"{rule}{short}<details><summary>every recording</summary>{each}</details>"
