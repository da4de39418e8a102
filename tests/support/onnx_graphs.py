"""Small ONNX graphs with the interface of an inverter."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_graph(path, nodes, constants=(), name="input_features", mels=128, inputs=1):
    graph = helper.make_graph(
        nodes,
        "inverter",
        [
            helper.make_tensor_value_info(name * (i + 1), TensorProto.FLOAT, [1, "frames", mels])
            for i in range(inputs)
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, key) for key, array in constants],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def save_convolution(path, reach, samples_per_frame=320):
    """Saves a graph whose audio depends on features up to `reach` frames away, and no further."""
    kernel = np.random.default_rng(0).normal(0, 0.01, (samples_per_frame, 128, 2 * reach + 1))
    nodes = [
        helper.make_node("Transpose", ["input_features"], ["bins"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["bins", "kernel"], ["hops"], pads=[reach, reach]),
        helper.make_node("Transpose", ["hops"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["frames", "shape"], ["audio"]),
    ]
    constants = [("kernel", kernel.astype(np.float32)), ("shape", np.array([1, -1], np.int64))]
    return save_graph(path, nodes, constants)
