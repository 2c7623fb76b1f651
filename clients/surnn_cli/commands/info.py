"""`surnn info`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from surnn import ModelSpec
    from surnn.spec import LayerSpec

__all__ = ["info"]


def info(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a path.")],
    json: Annotated[bool, typer.Option("--json", help="Print the whole spec as JSON.")] = False,
) -> None:
    """Show a model's spec: what it hears, its layers, state, figures and licence."""
    from surnn import load
    from surnn_cli.cards import state_bytes
    from surnn_cli.console import output

    loaded = load(model)
    spec = loaded.spec
    path = _path(loaded.runtime.name)
    console = output()
    if json:
        import orjson

        record = spec.model_dump(mode="json") | {
            "state": [state.model_dump(mode="json") for state in spec.states],
            "state_bytes": state_bytes(spec),
            "runtime": {"name": loaded.runtime.name, "instructions": path},
        }
        console.out(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode(), highlight=False)
        return
    from rich.table import Table

    console.print(f"[bold]{spec.name}[/bold] version {spec.version}")
    if spec.description:
        console.print(spec.description, markup=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in _rows(spec):
        table.add_row(name, value)
    table.add_row("runs on", loaded.runtime.name + (f", kernels for {path}" if path else ""))
    console.print()
    console.print(table)


def _path(runtime: str) -> str | None:
    """What the native runtime's kernels are compiled for here."""
    if runtime != "native":
        return None
    from surnn.kernels.cache import instruction_set

    return instruction_set()


def _rows(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    from surnn_cli.cards import state_bytes

    frame_ms = 1000.0 * spec.hop / spec.sample_rate
    yield "hears", f"{spec.kind.value}, {spec.channels} channel(s) at {spec.sample_rate} Hz"
    yield "frame", f"{spec.hop} samples, {frame_ms:g} ms"
    yield "labels", ", ".join(spec.labels)
    yield "threshold", f"{spec.threshold:g}"
    for rule in spec.events:
        yield (
            "event",
            f"{rule.label}: on at {rule.on:g} for {rule.min_on:g} s, "
            f"off below {rule.off:g} for {rule.min_off:g} s"
            + (f", of a mean over {rule.smooth:g} s" if rule.smooth else ""),
        )
    yield "front end", f"{spec.frontend.type}, {spec.frontend.features} features"
    for i, layer in enumerate(spec.layers):
        yield f"layer {i}", f"{layer.cell.value}, {layer.hidden} neurons, {_updates(layer)}"
        if (block := layer.block) is not None:
            parts = (
                "" if block.norm == "none" else f"{block.norm.value} norm",
                "" if block.gate == "none" else block.gate.value,
                "residual" if block.residual else "",
            )
            yield "", f"in a block: {', '.join(filter(None, parts)) or 'nothing'}"
    yield "state", f"{state_bytes(spec)} bytes for each stream:"
    for state in spec.states:
        yield "", f"{state.name} {state.dtype} {list(state.shape)}, {state.nbytes} bytes"
    yield from (("figure", line) for line in _figures(spec.metrics))
    yield "licence", spec.licence or "not said"


def _updates(layer: LayerSpec) -> str:
    """What decides which neurons of a layer are updated."""
    switch = layer.switch
    return {
        "switch": f"{layer.switches} switches driven by {switch.mode.value}",
        "always": "all updated in every frame",
        "event": "updated by events",
        "write": "updated by writes",
    }[layer.traits.update]


def _figures(figures: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield f"{prefix}{name} = {value:.4g}"
        else:
            yield f"{prefix}{name} = {value}"
