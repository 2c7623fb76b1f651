"""The model card: README.md of a trained model, rendered from its config and measured figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from surnn.errors import UnknownModel
from surnn.spec import LogMelFrontEnd, ModelSpec
from surnn.train.config import Config, read_config

__all__ = ["FIGURES", "rewrite_card", "write_card"]

FIGURES = {
    "Learning curve": "learning.png",
    "ROC": "roc.png",
    "Switches": "switches.png",
    "Confusion": "confusion.png",
    "Open rate": "open_rate.png",
}
"""Title and file name of every figure, in the order of the card."""

_NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "f1": "F1",
    "macro_f1": "macro F1",
    "miss_rate": "miss rate",
    "false_alarm_rate": "false alarm rate",
    "open_rate": "open rate",
    "open_rate_speech": "open rate in speech",
    "open_rate_nonspeech": "open rate elsewhere",
    "open_rate_digital_silence": "open rate in digital silence",
    "keyword_accuracy": "accuracy on words of the list",
    "closed_set_accuracy": "accuracy with some word always named",
    "hours_without_words": "hours without words",
    "hours": "hours",
    "false": "false events",
    "false_per_hour": "false events per hour",
    "far_percent": "false alarms (% of rows)",
    "mar_percent": "missed (% of rows)",
    "changepoints": "changepoints",
    "changepoints_met": "met within 60 rows",
    "delay_rows_median": "median delay (rows)",
    "nab": "NAB score",
    "windows": "windows",
    "windows_found": "windows found",
    "false_alarms": "false alarms",
}

_HELD = {
    "voice": "Held-out speakers of the first validation set in held-out noise and music at 0 to "
    "20 dB, frame by frame",
    "keywords": "Words of held-out speakers, each in a stream of its own, and streams without "
    "words. The threshold was chosen on the validation part; the test part was measured at it",
    "machine": "Series kept apart. Thresholds were chosen on the validation part; the test part "
    "was measured at them",
}


def write_card(
    path: Path,
    config: Config,
    spec: ModelSpec,
    figures: Mapping[str, Any],
    images: Mapping[str, str],
    out: Path,
) -> Path:
    """Write `README.md` into `out`.

    Args:
        path: the config file, named in the command.
        config: what was trained.
        spec: of the finished model.
        figures: the content of metrics.json.
        images: title → file name.
        out: the model's folder.
    """
    lines = [f"# {spec.name}: {spec.description}", "", *_about(spec), "", *_layers(spec)]
    lines += ["", "## Measured", ""]
    if held_out := figures.get("held_out"):
        lines += [*_beside_others(held_out), "", "### While training", ""]
    lines += _headline(config, figures)
    for part in (figures, figures.get("test", {})):
        if groups := part.get("groups"):
            lines += ["", *_groups(groups, "test streams" if part is not figures else "")]
    if points := figures.get("test", figures).get("thresholds"):
        lines += ["", *_points(points)]
    for title, name in images.items():
        lines += ["", f"![{title}]({name})"]
    lines += ["", "## Training", "", *_training(path, spec, figures)]
    if config.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in config.notes)]
    lines += ["", "## Data", "", *_data(figures.get("data", ()))]
    target = out / "README.md"
    target.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return target


def _about(spec: ModelSpec) -> list[str]:
    front = spec.frontend
    rate = f"{spec.sample_rate} Hz"
    if isinstance(front, LogMelFrontEnd):
        how = f"{front.bands} log-mel bands from the last {front.window} samples"
    else:
        how = f"{spec.channels} channels, shifted and scaled"
    wait = 1000.0 * spec.lookahead / spec.frame_rate
    if spec.encoder is not None:
        how += f"; encoder over {spec.encoder.frames} frames, {spec.encoder.width} wide"
    same = {(r.on, r.off, r.min_on, r.min_off, r.smooth) for r in spec.events}
    alike = len(same) == 1 and len(spec.events) > 5
    rules = [
        f"{'each label' if alike else r.label}: starts at {r.on:g} held for {r.min_on:g} s, "
        f"ends below {r.off:g} for {r.min_off:g} s"
        + (f", of a mean over {r.smooth:g} s" if r.smooth else "")
        for r in (spec.events[:1] if alike else spec.events)
    ]
    lines = [
        f"- **Input:** {rate}, one frame every {1000.0 / spec.frame_rate:g} ms; {how}.",
        f"- **Output:** {', '.join(spec.labels)} ({spec.head.value}), in every frame; "
        f"answered {wait:g} ms later; frame threshold {spec.threshold:g}.",
    ]
    lines += [f"- **Events:** {'; '.join(rules)}."] if rules else []
    if spec.anomaly is not None:
        rule = spec.anomaly
        lines.append(
            f"- **Anomalies** (`surnn.anomaly.Watcher`): after {rule.warm_up} rows of a machine "
            f"that is well, scores of at least {rule.on:g} for {rule.hold} rows."
        )
    lines.append(f"- **Licence of the weights:** {spec.licence or 'not stated'}.")
    return lines


def _layers(spec: ModelSpec) -> list[str]:
    rows = [
        (
            str(i + 1),
            layer.cell.value,
            str(layer.hidden),
            layer.switch.mode.value,
            str(layer.switch.group),
            f"{layer.switch.min_period:g} to {layer.switch.max_period:g}",
        )
        for i, layer in enumerate(spec.layers)
    ]
    head = ("layer", "cell", "neurons", "switch", "neurons per switch", "periods (frames)")
    return _table(head, rows)


def _headline(config: Config, figures: Mapping[str, Any]) -> list[str]:
    held = _HELD.get(config.task, "Held-out subjects, frame by frame")
    main, test = figures.get("main", {}), figures.get("test", {}).get("main", {})
    names = [(_NAMES.get(k, k.replace("_", " ")), k) for k in main]
    head: tuple[str, ...] = ("measure", "value")
    rows: list[tuple[str, ...]] = [(name, _number(main[k])) for name, k in names]
    if test:
        head = ("measure", "validation", "test")
        rows = [(name, _number(main[k]), _number(test.get(k))) for name, k in names]
    lines = [f"{held}; `metrics.json` holds all figures.", "", *_table(head, rows)]
    if speed := figures.get("speed"):
        lines += [
            "",
            f"One stream runs {speed['realtime_factor']:,.0f} times as fast as real time on one "
            f"core ({speed['runtime']} runtime, chunks of 10 frames).",
        ]
    return lines


_TABLES = {
    "set": "Speech at 0 to 20 dB in held-out noise and music, by set",
    "language": "The same by language",
    "snr_db": "Unseen readers by signal-to-noise ratio (dB)",
    "line": "Telephone lines and codecs, at 10 dB",
    "level_dbfs": "Unseen readers at 10 dB, by peak level (dBFS)",
    "dc": "The same at -20 dBFS with a constant added",
    "alone": "Recordings without speech",
}


def _beside_others(figures: Mapping[str, Any]) -> list[str]:
    """What `surnn eval --peers` gave."""
    detectors: Mapping[str, Any] = figures["detectors"]
    rows = [(f"{name} {one['version']}", *_compared(one["all"])) for name, one in detectors.items()]
    heads = ("AUC", "accuracy", "F1", "false events an hour", "onset (ms)", "open rate")
    lines = [
        f"{figures['data']['recordings']} held-out recordings (`surnn.train.held_out`), all "
        f"detectors by the same code; thresholds of the others {figures['thresholds_of_peers']}. "
        "Onset: median time from the start of speech until its event is sent.",
        "",
        *_table(("all", *heads), rows),
    ]
    by = next(iter(detectors.values()))["by"]
    for column in sorted(by, key=lambda name: [*_TABLES, name].index(name)):
        rows = [
            (value if i == 0 else "", name, *_compared(one["by"][column][value]))
            for value in by[column]
            for i, (name, one) in enumerate(detectors.items())
        ]
        title = _TABLES.get(column, f"By {column.replace('_', ' ')}")
        lines += ["", f"{title}:", "", *_table((column.replace("_", " "), "", *heads), rows)]
    return lines


def _compared(figures: Mapping[str, Any]) -> tuple[str, ...]:
    events = figures["events"]
    return (
        *(_number(figures[k]) for k in ("auc", "accuracy", "f1")),
        *(
            "–" if v is None else f"{v:.0f}"
            for v in (events["false_per_hour"], events["latency_ms_median"])
        ),
        _number(figures.get("open_rate")),
    )


def _groups(groups: Iterable[Mapping[str, Any]], title: str = "") -> list[str]:
    groups = list(groups)
    keys = [k for k in _NAMES if any(k in row for row in groups)]
    rows = []
    for row in groups:
        name = str(row["group"])
        if "snr_db" in row:
            snr = row["snr_db"]
            name += "" if snr is None else f", {snr:g} dB"
        rows.append((name, *(_number(row.get(k)) for k in keys)))
    return _table((title or "held-out streams", *(_NAMES[k] for k in keys)), rows)


def _points(points: object) -> list[str]:
    """What other thresholds of events would give; of tasks that have such a table."""
    if not isinstance(points, list):
        return []
    keys = list(points[0])
    rows = [tuple(_number(p[k]) for k in keys) for p in points]
    head = tuple(_NAMES.get(k, k) for k in keys)
    title = "Other thresholds of the events, on the part that was measured last:"
    return [title, "", *_table(head, rows)]


def _training(path: Path, spec: ModelSpec, figures: Mapping[str, Any]) -> list[str]:
    run = figures["training"]
    given = spec.training.get("options")
    options = "".join(f" {option}" for option in given) if isinstance(given, list) else ""
    return [
        "```",
        f"surnn train {path.name} --data DIR{options} --out {spec.name}",
        "```",
        "",
        f"{run['steps']} steps, {run['minutes']:g} minutes, {run['parameters']:,} parameters, "
        f"{run['clips']:,} clips ({run['hours_of_audio']:g} hours of signal, no clip twice the "
        f"same), seed {spec.training.get('seed')}, {run['finished']}.",
    ]


def _data(rows: Iterable[Mapping[str, str]]) -> list[str]:
    rows = list(rows)
    lines = _table(
        ("used for", "set", "kind", "part", "licence"),
        [
            (r["role"], r.get("source") or r["folder"], r["kind"], r["part"], r["licence"])
            for r in rows
        ],
    )
    used = {r["licence"] for r in rows if r["role"] == "train"}
    if any("-SA" in licence for licence in used):
        lines += [
            "",
            "Some training material is under a share-alike licence. The model holds none of it and "
            "we do not regard the weights as an adaptation of it; who sees this differently can "
            "train again without these sets: they are listed one by one in the config.",
        ]
    return lines


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _number(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def rewrite_card(config_path: Path | str, out: Path | str) -> Path:
    """Write the card of a trained model again, from its spec, metrics.json and the config.

    Raises `UnknownModel` when the folder holds no trained model.
    """
    path, folder = Path(config_path), Path(out)
    config = read_config(path)
    try:
        spec = ModelSpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
        figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnknownModel(f"{folder} holds no {Path(error.filename).name}") from None
    for table in (config.audio, config.keywords):
        if table is not None:
            figures["data"] = [item.described() for item in table.sets]
    images = {title: name for title, name in FIGURES.items() if (folder / name).is_file()}
    return write_card(path, config, spec, figures, images, folder)
