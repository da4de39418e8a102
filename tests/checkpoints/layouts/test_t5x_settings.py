"""T5X checkpoints of the released code's ablations, as their gin file describes them."""

from dataclasses import asdict

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.t5x import import_t5x
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.sampling import PAPER_SAMPLING
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION
from tests.support.checkpoint_writers import golden_params, write_t5x
from tests.support.reference import build

LINEAR = """
{scope}/diffusion_utils.DiffusionSchedule:
  name = 'linear'
  start = 0.001
  stop = 0.05
  num_steps = 100
"""
NO_TIES = "tasks.NoteRepresentationConfig.include_ties = False\n"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ("diffusion_utils.DiffusionConfig.model_output = 'x0'", {"prediction": "x0"}),
        ("diffusion_utils.DiffusionConfig.model_output = 'v'", {"prediction": "v"}),
        (LINEAR.format(scope="train"), {"schedule": "linear:0.001:0.05:100"}),
        (
            LINEAR.format(scope="train") + LINEAR.format(scope="sampler"),
            {"schedule": "linear:0.001:0.05:100", "steps": 100},
        ),
        ("sampler/diffusion_utils.DiffusionSchedule.num_steps = 50", {"steps": 50}),
        (
            "diffusion_utils.SamplerConfig.name = 'ddim'\n"
            "diffusion_utils.SamplerConfig.logvar_type = 'medium:0.5'",
            {"sampler": "ddim", "variance": "medium:0.5"},
        ),
        ("network.T5Config.context_positions = 'regular'", {"context_positions": "from_start"}),
        ("network.T5Config.position_encoding = 'fixed'", {"positions": "sinusoid"}),
        (NO_TIES, {"ties": False}),
        (
            f"{NO_TIES}tasks.NoteRepresentationConfig.onsets_only = True",
            {"ties": False, "onsets_only": True},
        ),
        (
            "PROGRAM_GRANULARITY = 'flat'\n"
            "preprocessors.map_midi_programs.granularity_type = %PROGRAM_GRANULARITY",
            {"program_map": "flat"},
        ),
        (
            "preprocessors.map_midi_programs.granularity_type = 'midi_class'",
            {"program_map": "midi_class"},
        ),
    ],
)
def test_settings_of_ablations(golden, tmp_path, settings, wanted):
    params = golden_params(golden, "context_concat_encodings")
    usual = import_t5x(write_t5x(tmp_path / "usual", params))
    assert (usual.prediction, usual.schedule) == ("eps", "cosine")
    assert (usual.tokenization, usual.sampling) == (RELEASED_TOKENIZATION, PAPER_SAMPLING)
    found = import_t5x(write_t5x(tmp_path / "ablation", params, settings=settings))
    # All other settings are the usual ones, and so are the parameters.
    assert flat_settings(found) == flat_settings(usual) | wanted
    for name, values in flatten(usual.params).items():
        np.testing.assert_array_equal(flatten(found.params)[name], values)


def flat_settings(checkpoint):
    parts = (checkpoint.config, checkpoint.tokenization, checkpoint.sampling)
    settings = {"prediction": checkpoint.prediction, "schedule": checkpoint.schedule}
    return settings | {name: value for part in parts for name, value in asdict(part).items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("learnable_permuted_offset", "random_phase_trained"), ("random", "random_trained")],
)
def test_trained_positions(golden, tmp_path, theirs, ours):
    params = golden_params(golden, "context_concat_encodings")
    settings = f"network.T5Config.position_encoding = '{theirs}'"
    checkpoint = import_t5x(write_t5x(tmp_path, params, settings=settings))
    assert checkpoint.config.positions == ours
    flat = flatten(checkpoint.params)
    for stack, name in (
        ("note_encoder", "token_encoder"),
        ("context_encoder", "continuous_encoder"),
        ("decoder", "decoder"),
    ):
        rows = params[f"{name}/Embed_0/embedding"]
        np.testing.assert_array_equal(flat[f"{stack}/trained_positions"], rows)
        assert f"{stack}/positions" not in flat
    # A table is used in the same way whether it was trained or not.
    with np.load(golden / "network_context_concat_encodings.npz") as arrays:
        inputs = [arrays[x] for x in ("tokens", "context", "context_mask", "noisy", "time")]
        output = build(checkpoint.config, checkpoint.params)(*inputs)
        np.testing.assert_allclose(output, arrays["output"], atol=5e-4)


def test_an_autoregressive_network_of_mixtures(golden, tmp_path):
    params = golden_params(golden, "autoregressive")
    folder = write_t5x(tmp_path, params, settings="network.T5Config.output_dim = 514")
    with pytest.raises(CheckpointError, match=r"T5Config.output_dim = 0, got 514"):
        import_t5x(folder)


def test_both_estimates_need_twice_the_outputs(golden, tmp_path):
    params = golden_params(golden, "no_context")
    settings = "diffusion_utils.DiffusionConfig.model_output = 'x0_and_eps'"
    folder = write_t5x(tmp_path, params, settings=settings)
    with pytest.raises(CheckpointError, match=r"spec_out.*\(32, 256\), got shape \(32, 128\)"):
        import_t5x(folder)
