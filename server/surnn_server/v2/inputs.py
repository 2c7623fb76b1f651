"""From an inference request to samples of a stream: every mismatch is named, seen then expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surnn import Encoding, ModelSpec
from surnn.snapshot import StreamState
from surnn.spec import ModelKind
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.v2.interface import OUTPUTS, input_name
from surnn_server.v2.tensors import InferRequest, RequestedOutput, Tensor, item_size

__all__ = ["SequenceFlags", "StreamFormat", "flags", "outputs", "raw_request", "samples"]

_ENCODINGS: dict[str, tuple[Encoding, ...]] = {
    "FP32": (Encoding.PCM_F32LE, Encoding.F32LE),
    "INT16": (Encoding.PCM_S16LE,),
    "INT32": (Encoding.PCM_S32LE,),
    "UINT8": (Encoding.PCM_U8, *(e for e in Encoding if e is not Encoding.PCM_U8)),
}
"""What each datatype may hold, its default first. UINT8 also carries the bytes of any encoding."""
_OPTIONS = ("sample_rate", "encoding", "channels")
_KNOWN = {
    *_OPTIONS,
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "binary_data_output",
    "checkpoint",
    "resume",
    # Triton's clients may send these; sequences have no use for them.
    "priority",
    "timeout",
    "headers",
}
_MAX_ID = 128
"""Characters of a sequence's name: Triton's limit."""


@dataclass(frozen=True, slots=True)
class SequenceFlags:
    """Which sequence a request belongs to."""

    id: int | str | None
    """None: to none."""
    start: bool
    end: bool
    checkpoint: bool = False
    """Is a token wanted with the answer?"""
    resume: str | None = None
    """The token that a sequence starts from."""


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """How the samples of a stream arrive. The same for all requests of a sequence."""

    datatype: str
    encoding: Encoding
    sample_rate: int
    channels: int

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        datatype: str,
        parameters: Mapping[str, Any],
        saved: StreamState | None = None,
    ) -> StreamFormat:
        """The format that a request asks for: that of the saved stream if it goes on with one.

        Raises `Refusal`.
        """
        if saved is not None:
            own = {option: getattr(saved, option) for option in _OPTIONS}
            _check_options(parameters, own, "in the sequence to resume")
            parameters = own
        if datatype not in _ENCODINGS:
            raise _refused(
                f"input {input_name(spec)!r} has datatype {datatype}, "
                f"expected one of {list(_ENCODINGS)}"
            )
        choices = _ENCODINGS[datatype]
        name = parameters.get("encoding", choices[0].value)
        if name not in [e.value for e in choices]:
            raise _refused(
                f"encoding is {str(name)[:40]!r}, expected one of {[e.value for e in choices]} "
                f"for {datatype}"
            )
        return cls(
            datatype,
            Encoding(name),
            _count(parameters, "sample_rate", spec.sample_rate),
            _count(parameters, "channels", spec.channels),
        )

    def seconds(self, size: int) -> float:
        """Stream time that so many bytes cover."""
        return size / (self.sample_rate * self.channels * self.encoding.width)

    def check_same(self, spec: ModelSpec, request: InferRequest) -> None:
        """A later request of the sequence must not ask for something else. Raises `Refusal`."""
        for tensor in request.inputs:
            if tensor.datatype != self.datatype:
                raise _refused(
                    f"input {tensor.name!r} has datatype {tensor.datatype}, "
                    f"expected {self.datatype} as at the start of the sequence"
                )
        own = {option: getattr(self, option) for option in _OPTIONS}
        _check_options(request.parameters, own, "at the start of the sequence")


def flags(request: InferRequest) -> SequenceFlags:
    """Which sequence the request belongs to. Raises `Refusal`, also on unknown parameters."""
    parameters = request.parameters
    unknown = [p for p in parameters if p not in _KNOWN and not p.startswith("triton_")]
    if unknown:
        # Passed over, a mistyped rate would give wrong results without a word.
        raise _refused(f"parameter {unknown[0][:40]!r}, expected one of {sorted(_KNOWN)}")
    id = parameters.get("sequence_id", 0)
    if isinstance(id, bool) or not isinstance(id, int | str):
        raise _refused(f"sequence_id is {id!r}, expected a number or a string")
    if (isinstance(id, int) and not 0 <= id < 2**64) or (isinstance(id, str) and len(id) > _MAX_ID):
        raise _refused(
            f"sequence_id is {str(id)[:40]!r}, expected 0 to 2^64 - 1 or at most {_MAX_ID} "
            "characters"
        )
    start, end = (_flag(parameters, f"sequence_{name}") for name in ("start", "end"))
    checkpoint, resume = _flag(parameters, "checkpoint"), parameters.get("resume")
    if not (resume is None or isinstance(resume, str)):
        raise _refused(f"resume is {str(resume)[:40]!r}, expected the token of a checkpoint")
    if not id:
        if start or end or checkpoint or resume is not None:
            raise _refused(
                "sequence_start, sequence_end, checkpoint or resume without sequence_id, "
                "expected one"
            )
        return SequenceFlags(None, True, True)
    if resume is not None and not start:
        raise _refused("resume without sequence_start, expected it with the first request only")
    return SequenceFlags(id, start, end, checkpoint, resume)


def raw_request(spec: ModelSpec, body: bytes) -> InferRequest:
    """The request that a body without any JSON makes: one FP32 tensor. Raises `Refusal`."""
    size = item_size("FP32") * spec.channels
    if len(body) % size:
        raise _refused(f"raw body has {len(body)} bytes, expected a multiple of {size} (FP32)")
    count = len(body) // size
    shape = (1, count) if spec.kind is ModelKind.AUDIO else (1, count, spec.channels)
    tensor = Tensor(input_name(spec), "FP32", shape, memoryview(body))
    return InferRequest(None, {}, (tensor,), (), binary=True)


def samples(spec: ModelSpec, tensors: tuple[Tensor, ...], channels: int) -> Tensor:
    """The only input of a request, once its name and shape were found right. Raises `Refusal`."""
    name = input_name(spec)
    if [tensor.name for tensor in tensors] != [name]:
        raise _refused(f"inputs are {[t.name[:40] for t in tensors]}, expected [{name!r}]")
    (tensor,) = tensors
    shape = tensor.shape[1:] if len(tensor.shape) > 1 and tensor.shape[0] == 1 else tensor.shape
    fits = len(shape) == 1 if channels == 1 else len(shape) == 2 and shape[1] == channels
    # A column is a fine mono signal too, and raw bytes have no channels yet.
    fits = fits or (channels == 1 and len(shape) == 2 and shape[1] == 1)
    fits = fits or (tensor.datatype == "UINT8" and len(shape) == 1)
    if not fits:
        one = "" if channels == 1 else f", {channels}"
        raise _refused(
            f"input {name!r} has shape {list(tensor.shape)}, expected [N{one}] or [1, N{one}]"
        )
    return tensor


def outputs(request: InferRequest) -> tuple[RequestedOutput, ...]:
    """Which outputs to give, and how. Raises `Refusal`."""
    names = [output.name for output in request.outputs]
    for name in names:
        if name not in OUTPUTS:
            raise _refused(f"output {name[:40]!r}, expected one of {list(OUTPUTS)}")
    if len(set(names)) != len(names):
        raise _refused(f"outputs are {names}, expected each at most once")
    return request.outputs or tuple(RequestedOutput(name, request.binary) for name in OUTPUTS)


def _check_options(parameters: Mapping[str, Any], own: Mapping[str, Any], where: str) -> None:
    for option, mine in own.items():
        if (seen := parameters.get(option, mine)) != mine:
            raise _refused(f"{option} is {str(seen)[:40]!r}, expected {mine!s} as {where}")


def _count(parameters: Mapping[str, Any], name: str, default: int) -> int:
    value = parameters.get(name, default)
    if type(value) is not int or not 0 < value < 2**31:
        raise _refused(f"{name} is {str(value)[:40]!r}, expected a positive whole number")
    return value


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise _refused(f"{name} is {str(value)[:40]!r}, expected true or false")
    return value


def _refused(message: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, message)
