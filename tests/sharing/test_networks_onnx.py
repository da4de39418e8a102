"""Graphs beside the networks that they were made of."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest

from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.sharing import networks_onnx
from tests.support.made_models import made_inputs, made_model, outputs_of

SIZES = dataclasses.replace(
    made_model().config, note_tokens=48, target_frames=12, context_frames=10, mel_bins=128
)
VARIANTS = {
    "default": {},
    "without context": {"context_frames": 0},
    "sum": {"cross_attention": "sum"},
    "from the start": {"context_positions": "from_start"},
    "trained positions": {"positions": "random_trained"},
    "two estimates": {"estimates": 2},
}


def model_of(variant):
    if variant == "mini":
        return open_checkpoint("mini")
    return made_model(dataclasses.replace(SIZES, **VARIANTS[variant]))


class Graphs:
    """The graphs of a model, run one after another."""

    def __init__(self, model) -> None:
        self.config = model.config
        names = ["notes_encoder", "decoder"] + ["context_encoder"] * model.config.has_context
        self.models = {name: getattr(networks_onnx, name)(model) for name in names}
        self.sessions = {
            name: onnxruntime.InferenceSession(graph.SerializeToString())
            for name, graph in self.models.items()
        }

    def __call__(self, inputs, *, hidden=()):
        def run(name, **given):
            return self.sessions[name].run(None, given)[0]

        notes = run("notes_encoder", tokens=inputs["tokens"])
        masks = {"notes_mask": inputs["tokens"] > 0}
        encodings = {"notes_encoding": notes}
        if self.config.has_context:
            masks["context_mask"] = inputs["context_mask"]
            context = {name: inputs[name] for name in ("context", "context_mask")}
            encodings["context_encoding"] = run("context_encoder", **context)
        shown = {name: mask & (name not in hidden) for name, mask in masks.items()}
        noisy = {name: inputs[name] for name in ("noisy", "time")}
        output = run("decoder", **noisy, **encodings, **shown)
        parts = [
            np.where(mask[..., None], values, 0)
            for mask, values in zip(masks.values(), encodings.values(), strict=True)
        ]
        return dict(zip(("notes", "context"), parts, strict=False)) | {"output": output}


@pytest.mark.parametrize("variant", [*VARIANTS, "mini"])
def test_graphs_compute_what_the_networks_do(variant):
    model = model_of(variant)
    inputs = made_inputs(model.config)
    wanted = outputs_of(model, inputs)
    graphs = Graphs(model)
    for name, values in graphs(inputs).items():
        np.testing.assert_allclose(values, wanted[name], atol=1e-4, err_msg=name)
    # Fewer examples, with fewer notes: sizes vary, and rows do not depend on one another.
    first = {name: values[:1] for name, values in inputs.items()}
    first["tokens"] = first["tokens"][:, : np.count_nonzero(first["tokens"])]
    np.testing.assert_allclose(graphs(first)["output"], wanted["output"][:1], atol=1e-4)
    for graph in graphs.models.values():
        onnx.checker.check_model(graph, full_check=True)


def test_hidden_conditions_are_not_heard():
    """Without notes and context a segment depends on neither; the network's own answer is known."""
    model = model_of("default")
    graphs, inputs = Graphs(model), made_inputs(model.config)
    unconditional = graphs(inputs, hidden=("notes_mask", "context_mask"))["output"]
    others = inputs | {"tokens": inputs["tokens"][::-1], "context": -inputs["context"]}
    np.testing.assert_array_equal(
        graphs(others, hidden=("notes_mask", "context_mask"))["output"], unconditional
    )
    nothing = inputs | {
        "tokens": np.zeros_like(inputs["tokens"]),
        "context_mask": np.zeros_like(inputs["context_mask"]),
    }
    np.testing.assert_allclose(outputs_of(model, nothing)["output"], unconditional, atol=1e-4)
    alone = graphs(inputs, hidden=("context_mask",))["output"]
    wanted = outputs_of(model, inputs | {"context_mask": nothing["context_mask"]})["output"]
    np.testing.assert_allclose(alone, wanted, atol=1e-4)
    assert np.abs(alone - unconditional).max() > 0.1
