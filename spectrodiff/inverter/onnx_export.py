"""Export of inverters to ONNX graphs with the interface of the released one.

The input is `input_features` (1, frames, 128), unscaled log-mel; the output is `audio`
(1, frames * 320). The graph pads the features with silence as `TrainedInverter` does, so that both
compute the same audio.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.constants import HOP_SAMPLES, MAX_LOG_MEL, MIN_LOG_MEL, NUM_MELS
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import atomic_file
from spectrodiff.inverter.config import FrameRateConfig, MelganConfig, RecurrentConfig
from spectrodiff.inverter.files import StoredInverter
from spectrodiff.inverter.networks.frame_rate import (
    MAX_LOG_MAGNITUDE,
    hann,
    interpolation,
    phases_of_sources,
    source_hz,
    window_sums,
)
from spectrodiff.inverter.networks.generators import period, reach_frames
from spectrodiff.inverter.networks.melgan import DILATIONS, KERNEL, UPSAMPLING
from spectrodiff.inverter.networks.oscillators import PERIOD_FRAMES, waves
from spectrodiff.inverter.onnx import PERIOD_METADATA, REACH_METADATA, OnnxInverter
from spectrodiff.inverter.trained import padding_frames, trained_inverter

# First version with layer normalization.
OPSET, IR_VERSION = 17, 8
# Maximum difference from another order of summation, for samples in [-1, 1].
TOLERANCE = 1e-4


def export_onnx(inverter: StoredInverter, path: Path) -> None:
    """Writes a graph and checks that it computes the same audio as the inverter.

    Raises:
        ConfigError: if the package onnx is not installed, or the inverter is recurrent.
        CheckpointError: if the graph computes different audio.
        OutputError: if the file cannot be written.
    """
    model = build_model(inverter)
    with atomic_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        check_export(inverter, temporary, path)


def check_export(inverter: StoredInverter, file: Path, subject: Path) -> None:
    """Raises CheckpointError unless an ONNX file and the inverter agree on random features."""
    features = np.random.default_rng(0).uniform(-8, 1, (45, NUM_MELS)).astype(np.float32)
    ours = trained_inverter(inverter)(features)
    try:
        theirs = OnnxInverter(file, "cpu")(features)
    except CheckpointError as error:
        raise CheckpointError(subject, error.expected, error.got) from error
    difference = float(np.abs(ours - theirs).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(ours).max())):
        expected = f"audio that differs by less than {TOLERANCE:g}"
        raise CheckpointError(subject, expected, f"a difference of {difference:.3g}")


def build_model(inverter: StoredInverter) -> Any:
    """Returns the graph as an `onnx.ModelProto`.

    Raises:
        ConfigError: if the package onnx is not installed, or the generator is recurrent: its state
            would have to be an input and an output of the graph.
    """
    if isinstance(inverter.config, RecurrentConfig):
        raise ConfigError("export to ONNX", "a frame_rate or melgan inverter", "a recurrent one")
    need_extra("export to ONNX", "export")
    from onnx import TensorProto, helper

    config, params = inverter.config, flatten(inverter.params)
    graph = _Graph()
    padding = padding_frames(config)
    features = graph.add(
        "Pad",
        "input_features",
        graph.integers(0, padding, 0, 0, padding, 0),
        graph.constant(np.float32(MIN_LOG_MEL)),
    )
    if isinstance(config, MelganConfig):
        audio, excess = _melgan(graph, params, features), (padding, padding)
    else:
        audio = _frame_rate(graph, config, params, features)
        # With four hops, a window starts one hop before the 320 samples of its frame and ends two
        # hops after them.
        hops = config.window_samples // HOP_SAMPLES
        excess = (padding + hops // 2 - 1, padding + hops // 2)
    begin, end = (count * HOP_SAMPLES for count in excess)
    audio = graph.part(audio, begin, -end)
    graph.add("Squeeze", audio, graph.integers(1), output="audio")
    proto = helper.make_graph(
        graph.nodes,
        "inverter",
        [helper.make_tensor_value_info("input_features", TensorProto.FLOAT, [1, "frames", 128])],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, "samples"])],
        graph.initializers,
    )
    model = helper.make_model(
        proto,
        producer_name="spectrodiff",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    reach = reach_frames(config)
    metadata = {REACH_METADATA: str(reach), PERIOD_METADATA: str(period(config))}
    helper.set_model_props(model, metadata)
    return model


class _Graph:
    """Nodes and constants with unique names; values are the names of node outputs."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, values: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def times(self, value: str, factor: float | np.ndarray) -> str:
        return self.add("Mul", value, self.constant(np.asarray(factor, np.float32)))

    def plus(self, value: str, term: float | np.ndarray) -> str:
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
        return self.plus(self.add("MatMul", value, self.constant(kernel)), bias)

    def layer_norm(self, value: str, scale: np.ndarray, shift: np.ndarray) -> str:
        inputs = self.constant(scale), self.constant(shift)
        return self.add("LayerNormalization", value, *inputs, axis=-1, epsilon=1e-6)

    def gelu(self, value: str) -> str:
        """Computes x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x ** 3)))."""
        cube = self.add("Mul", self.add("Mul", value, value), value)
        inner = self.add("Add", value, self.times(cube, 0.044715))
        tanh = self.add("Tanh", self.times(inner, np.sqrt(2 / np.pi)))
        return self.add("Mul", self.times(value, 0.5), self.plus(tanh, 1.0))

    def standardized(self, features: str) -> str:
        scale = 2 / (MAX_LOG_MEL - MIN_LOG_MEL)
        return self.plus(self.times(features, scale), -MIN_LOG_MEL * scale - 1)


def _melgan(graph: _Graph, params: dict[str, np.ndarray], features: str) -> str:
    """Adds the nodes of `MelganGenerator`: [1, F, 128] to [1, 1, F * 320]."""

    def convolution(value: str, name: str, **attributes: Any) -> str:
        kernel, bias = params[f"{name}/kernel"], params[f"{name}/bias"]
        return graph.convolution(value, kernel, bias, **attributes)

    x = convolution(graph.transposed(graph.standardized(features)), "input")
    for factor in UPSAMPLING:
        bias = params[f"by{factor}/upsample/bias"]
        kernel = params[f"by{factor}/upsample/kernel"].reshape(-1, 2 * factor, len(bias))
        x = graph.add(
            "ConvTranspose",
            graph.add("Elu", x),
            graph.constant(kernel.transpose(0, 2, 1)),
            graph.constant(bias),
            strides=[factor],
            pads=[factor // 2, factor - factor // 2],
        )
        for dilation in DILATIONS:
            unit = f"by{factor}/dilation{dilation}"
            y = convolution(graph.add("Elu", x), f"{unit}/dilated", dilations=[dilation])
            x = graph.add("Add", x, convolution(graph.add("Elu", y), f"{unit}/mix"))
    assert len(params["output/kernel"]) == KERNEL
    return graph.add("Tanh", convolution(graph.add("Elu", x), "output"))


def _frame_rate(
    graph: _Graph, config: FrameRateConfig, params: dict[str, np.ndarray], features: str
) -> str:
    """Adds the nodes of `FrameRateGenerator`: [1, F, 128] to [1, 1, (F + 3) * 320].

    The audio starts one hop before that of the first frame.
    """
    kernel = params["input/kernel"].reshape(config.kernel_frames, NUM_MELS, config.width)
    channels_first = graph.transposed(graph.standardized(features))
    x = graph.transposed(graph.convolution(channels_first, kernel, params["input/bias"]))
    x = graph.layer_norm(x, params["input_norm/scale"], params["input_norm/shift"])
    for number in range(config.layers):
        layer = {
            name.removeprefix("layers/"): values[number]
            for name, values in params.items()
            if name.startswith("layers/")
        }
        x = _convnext(graph, layer, x)
    x = graph.layer_norm(x, params["norm/scale"], params["norm/shift"])
    output = graph.linear(x, params["output/kernel"], params["output/bias"])

    hertz = source_hz(config)
    K, N, S = len(hertz.spectrum), len(hertz.low), len(hertz.all)
    bands = graph.add("MatMul", features, graph.constant(interpolation(hertz.all)))
    magnitudes = graph.add("Add", graph.part(output, 0, S), bands)
    limit = graph.constant(np.float32(MAX_LOG_MAGNITUDE))
    magnitudes = graph.add("Exp", graph.add("Min", magnitudes, limit))
    phases = graph.add("Add", graph.part(output, S, 2 * S), _phases(graph, config, features))
    bins, tones = [], []  # real parts, then imaginary parts
    for function in ("Cos", "Sin"):
        sources = graph.add("Mul", magnitudes, graph.add(function, phases))
        # Tones at Fourier bins are added to the last of the bins.
        pads = graph.integers(0, 0, K - len(hertz.high), 0, 0, 0)
        high = graph.add("Pad", graph.part(sources, K + N, S), pads)
        bins.append(graph.add("Add", graph.part(sources, 0, K), high))
        tones.append(graph.part(sources, K, K + N))
    together = graph.transposed(graph.add("Concat", *bins, *tones, axis=2))
    basis = graph.constant(_windowed_waves(config)[:, np.newaxis])
    return graph.add("ConvTranspose", together, basis, strides=[HOP_SAMPLES])


def _convnext(graph: _Graph, layer: dict[str, np.ndarray], x: str) -> str:
    width = layer["taps"].shape[1]
    # Depthwise kernel [T, 1, outputs].
    taps = layer["taps"][:, np.newaxis]
    mixed = graph.convolution(graph.transposed(x), taps, layer["bias"], group=width)
    hidden = graph.layer_norm(graph.transposed(mixed), layer["norm/scale"], layer["norm/shift"])
    hidden = graph.gelu(graph.linear(hidden, layer["up/kernel"], layer["up/bias"]))
    hidden = graph.linear(hidden, layer["down/kernel"], layer["down/bias"])
    return graph.add("Add", x, graph.times(hidden, layer["scale"]))


def _phases(graph: _Graph, config: FrameRateConfig, features: str) -> str:
    """Adds the nodes for the phase advance of all sources, [T, S]."""
    frames = graph.add("Gather", graph.add("Shape", features), graph.constant(np.int64(1)))
    numbers = graph.add("Range", graph.constant(np.int64(0)), frames, graph.constant(np.int64(1)))
    rows = graph.add("Mod", numbers, graph.constant(np.int64(PERIOD_FRAMES)))
    return graph.add("Gather", graph.constant(phases_of_sources(config)), rows)


def _windowed_waves(config: FrameRateConfig) -> Float32[np.ndarray, "sources W"]:
    """Returns windowed waveforms: real and imaginary parts of bins, then of tones between them."""
    window, K = hann(config.window_samples), config.fourier_bins
    bins = np.fft.irfft(np.concatenate([np.eye(K), 1j * np.eye(K)]), config.window_samples)
    tones = waves(source_hz(config).low, config.window_samples)
    # Away from the ends of the audio, the sum of the windows is constant.
    hops = config.window_samples // HOP_SAMPLES
    sums = window_sums(window, 4 * hops)[2 * hops * HOP_SAMPLES]
    both = np.concatenate([np.fft.fftshift(bins, axes=1), tones])
    return (both * window / sums).astype(np.float32)
