"""`surnn models`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["models"]


def models(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the shipped models."""
    from surnn import installed, load
    from surnn_cli.cards import model_record
    from surnn_cli.console import output

    records = [model_record(load(name)) for name in installed()]
    console = output()
    if json:
        import orjson

        console.out(orjson.dumps(records, option=orjson.OPT_INDENT_2).decode(), highlight=False)
        return
    if not records:
        console.print("No models are installed.")
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in (
        ("model", "left"),
        ("hears", "left"),
        ("rate", "right"),
        ("labels", "left"),
        ("neurons", "right"),
        ("open", "right"),
        ("state", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for r in records:
        open_rate = r["open_rate"]
        table.add_row(
            r["name"],
            f"{r['kind']}, {r['channels']} ch",
            f"{r['sample_rate']} Hz",
            ", ".join(r["labels"]),
            str(r["neurons"]),
            "-" if open_rate is None else f"{open_rate:.0%}",
            f"{r['state_bytes']} B",
        )
    console.print(table)
    console.print("\nMore about one: surnn info MODEL", style="dim")
