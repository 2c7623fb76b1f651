"""A few lines over `onnx.helper` that make a graph read like the equations it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import TensorProto, helper, numpy_helper

__all__ = ["IR_VERSION", "OPSET", "GraphBuilder"]

OPSET = 18
"""The first with BitwiseAnd; every current runtime has it."""
IR_VERSION = 9

Attribute = int | float | list[int] | list[str] | onnx.GraphProto

_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class GraphBuilder:
    """Collects nodes; every value is named by a string."""

    BOOL = TensorProto.BOOL
    FLOAT = TensorProto.FLOAT

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count: Counter[str] = Counter()

    def _name(self, stem: str) -> str:
        self._count[stem] += 1
        return f"{stem}_{self._count[stem]}"

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph input; a string in the shape names a dynamic axis."""
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))
        return name

    def output(self, name: str, value: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Declare a graph output that carries `value`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], shape))

    def const(self, value: ArrayLike, dtype: DTypeLike, stem: str = "const") -> str:
        """A constant array."""
        name = self._name(stem)
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        # ascontiguousarray makes scalars one-dimensional.
        array = array.reshape(np.shape(value))
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        """A constant int64 vector: axes, shapes, bounds."""
        return self.const(list(values), np.int64, "ints")

    def op(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node with one output; returns the output's name."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Attribute) -> list[str]:
        """Add a node with several outputs."""
        outputs = [self._name(kind.lower()) for _ in range(count)]
        node = helper.make_node(kind, list(inputs), outputs, **attributes)  # type: ignore[arg-type]
        self._nodes.append(node)
        return outputs

    def split(self, value: str, count: int, axis: int) -> list[str]:
        """Equal parts of a value."""
        return self.ops("Split", count, value, axis=axis, num_outputs=count)

    def scan(
        self,
        frame: Callable[[GraphBuilder, Sequence[str], Sequence[str]], Sequence[str]],
        states: Sequence[str],
        items: Sequence[str],
    ) -> list[str]:
        """Run `frame` over the second axis of the items [B, T, ...], from states [B, ...].

        `frame` gets a builder for its nodes, the states before a frame and the frame's items, and
        returns the states behind it and then one frame of each output. It may use any value of
        the graph around it. Returns the last states, then the outputs [B, T, ...].
        """
        body = GraphBuilder()
        body._count = self._count  # one set of names for both
        inputs = [body._name(kind) for kind in ("state",) * len(states) + ("item",) * len(items)]
        found = frame(body, inputs[: len(states)], inputs[len(states) :])
        # A graph's outputs must be its own values, each once.
        outputs = [body.op("Identity", value) for value in found]
        graph = helper.make_graph(
            body._nodes,
            self._name("frame"),
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        )
        self._initializers += body._initializers
        tracks = len(found) - len(states)
        return self.ops(
            "Scan",
            len(found),
            *states,
            *items,
            body=graph,
            num_scan_inputs=len(items),
            scan_input_axes=[1] * len(items),
            scan_output_axes=[1] * tracks,
        )

    def model(self, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished, checked model."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, self._initializers
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="surnn",
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model
