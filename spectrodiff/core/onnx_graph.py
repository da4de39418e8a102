"""Writing of ONNX graphs, node by node."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# First version with layer normalization.
OPSET, IR_VERSION = 17, 8

# Type of the numbers of an input or output, and its sizes; those that may vary have names.
Port = tuple[type, Sequence[int | str]]


class Graph:
    """Nodes and constants with unique names; values are the names of node outputs."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, values: np.ndarray | np.generic) -> str:
        """Adds an array and returns its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, *values: int) -> str:
        """Adds an array of whole numbers."""
        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        from onnx import helper

        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def times(self, value: str, factor: float | np.ndarray) -> str:
        """Multiplies by a constant."""
        return self.add("Mul", value, self.constant(np.asarray(factor, np.float32)))

    def plus(self, value: str, term: float | np.ndarray) -> str:
        """Adds a constant."""
        return self.add("Add", value, self.constant(np.asarray(term, np.float32)))

    def part(self, value: str, begin: int, end: int) -> str:
        """Slices the last of three axes."""
        limits = self.integers(begin), self.integers(end), self.integers(2)
        return self.add("Slice", value, *limits)

    def transposed(self, value: str) -> str:
        """Transposes [1, T, D] to [1, D, T], the layout of convolutions, and back."""
        return self.add("Transpose", value, perm=[0, 2, 1])

    def convolution(
        self, value: str, kernel: np.ndarray, bias: np.ndarray, **attributes: Any
    ) -> str:
        """Convolves [1, inputs, T] with a kernel [T, inputs, outputs]; the length is kept."""
        reach = (len(kernel) - 1) * attributes.get("dilations", [1])[0]
        weights = kernel.transpose(2, 1, 0)
        inputs = self.constant(weights), self.constant(bias)
        pads = [reach // 2, reach - reach // 2]
        return self.add("Conv", value, *inputs, pads=pads, **attributes)

    def linear(self, value: str, kernel: np.ndarray, bias: np.ndarray) -> str:
        """Multiplies by a kernel [inputs, outputs] and adds a bias."""
        return self.plus(self.add("MatMul", value, self.constant(kernel)), bias)

    def layer_norm(self, value: str, scale: np.ndarray, shift: np.ndarray) -> str:
        """Normalizes the last axis to mean 0 and variance 1, then scales and shifts it."""
        inputs = self.constant(scale), self.constant(shift)
        return self.add("LayerNormalization", value, *inputs, axis=-1, epsilon=1e-6)

    def gelu(self, value: str) -> str:
        """Computes x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x ** 3)))."""
        cube = self.add("Mul", self.add("Mul", value, value), value)
        inner = self.add("Add", value, self.times(cube, 0.044715))
        tanh = self.add("Tanh", self.times(inner, np.sqrt(2 / np.pi)))
        return self.add("Mul", self.times(value, 0.5), self.plus(tanh, 1.0))

    def model(
        self,
        name: str,
        inputs: Mapping[str, Port],
        outputs: Mapping[str, Port],
        metadata: Mapping[str, str] | None = None,
    ) -> Any:
        """Returns the graph as an `onnx.ModelProto`.

        Args:
            name: name of the graph.
            inputs: types and sizes of the inputs by name.
            outputs: types and sizes of the outputs by name.
            metadata: texts by name.
        """
        from onnx import helper

        def infos(ports: Mapping[str, Port]) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), list(sizes)
                )
                for name, (kind, sizes) in ports.items()
            ]

        model = helper.make_model(
            helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), self.initializers),
            producer_name="spectrodiff",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, dict(metadata or {}))
        return model
