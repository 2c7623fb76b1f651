"""`surnn verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surnn_cli.errors import CommandError

__all__ = ["verify"]

TOLERANCE = 1e-5


def verify(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a path.")],
    audio: Annotated[
        list[Path], typer.Option(help="Recordings, or folders of them; may be repeated.")
    ],
    minutes: Annotated[float, typer.Option(help="Hear at most so much.", min=0.0)] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare the native runtime with ONNX Runtime on real recordings.

    All recordings go through one session. Exits with 1 when probabilities differ by more than
    1e-5 somewhere, or other numbers of neurons were updated.
    """
    from surnn import load
    from surnn.parity import compare, frames_of
    from surnn.spec import ModelKind
    from surnn_cli.console import output
    from surnn_cli.files import find_files

    native, onnx = (load(model, runtime=name).runtime for name in ("native", "onnx"))
    spec = native.spec
    paths = find_files(audio, sensor=spec.kind is ModelKind.SENSOR)
    rate = spec.sample_rate / spec.hop
    found = compare(native, onnx, frames_of(spec, paths), most=round(minutes * 60 * rate))
    heard = found.frames / rate / 60
    console = output()
    if json:
        import orjson

        record = {
            "model": spec.name,
            "minutes": heard,
            "frames": found.frames,
            "max_probability_difference": found.probs,
            "max_state_difference": found.state,
            "frames_with_other_gates": found.gates,
        }
        console.out(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode(), highlight=False)
    else:
        gates = "equal gates" if not found.gates else f"other gates in {found.gates} frames"
        console.print(
            f"{spec.name}: native and ONNX over {heard:.1f} minutes: probabilities to "
            f"{found.probs:.1e}, states to {found.state:.1e}, {gates}",
            markup=False,
        )
    if found.probs > TOLERANCE or found.gates:
        raise CommandError(
            f"the runtimes differ, expected probabilities within {TOLERANCE:g} and equal gates",
            exit_code=1,
        )
