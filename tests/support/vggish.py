"""Random weights of a small VGGish, in our names and in those of the TensorFlow release."""

import numpy as np

from spectrodiff.models.vggish import VggishConfig

SMALL = VggishConfig(channels=(4, 5, 6, 7, 8, 9), hidden=(12, 11), dims=10)

TF1_NAMES = {
    "conv1": "vggish/conv1",
    "conv2": "vggish/conv2",
    "conv3_1": "vggish/conv3/conv3_1",
    "conv3_2": "vggish/conv3/conv3_2",
    "conv4_1": "vggish/conv4/conv4_1",
    "conv4_2": "vggish/conv4/conv4_2",
    "fc1_1": "vggish/fc1/fc1_1",
    "fc1_2": "vggish/fc1/fc1_2",
    "fc2": "vggish/fc2",
}


def random_weights(config=SMALL, seed=0):
    """Kernels [3, 3, in, out] and [in, out], and biases, by layer."""
    rng = np.random.default_rng(seed)
    names = ("conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2")
    layers, inputs = {}, 1
    for name, outputs in zip(names, config.channels, strict=True):
        scale = np.sqrt(2 / (9 * inputs))
        layers[name] = (scale * rng.normal(size=(3, 3, inputs, outputs)), rng.normal(size=outputs))
        inputs = outputs
    inputs *= 6 * 4
    widths = (*config.hidden, config.dims)
    for name, outputs in zip(("fc1_1", "fc1_2", "fc2"), widths, strict=True):
        scale = np.sqrt(2 / inputs)
        layers[name] = (scale * rng.normal(size=(inputs, outputs)), rng.normal(size=outputs))
        inputs = outputs
    return {
        name: {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        for name, (kernel, bias) in layers.items()
    }


def tf1_arrays(weights):
    """The same arrays under the names of the TensorFlow release."""
    return {
        f"{name}/{kind}": weights[ours][key]
        for ours, name in TF1_NAMES.items()
        for kind, key in (("weights", "kernel"), ("biases", "bias"))
    }
