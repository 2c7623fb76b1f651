"""`surnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surnn_cli.torch import require_torch

__all__ = ["export"]


def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder with model.safetensors and spec.json.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
) -> None:
    """Export a trained network to ONNX, only if it is proven equal. Needs the `torch` extra."""
    require_torch("export")
    from surnn import checkpoint as checkpoints
    from surnn.export import MODEL_FILE
    from surnn.export import export as write_model
    from surnn_cli.console import output

    parity = write_model(checkpoints.load(checkpoint), out)
    console = output()
    console.print(f"wrote {out / MODEL_FILE}", markup=False)
    console.print(
        f"equal to the network over {parity.frames} frames: probabilities to {parity.probs:.1e}, "
        f"state to {parity.state:.1e}",
        markup=False,
    )
