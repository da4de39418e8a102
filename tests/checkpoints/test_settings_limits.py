"""Settings that no model has, read from files."""

import dataclasses
import math
from pathlib import Path

import pytest

from spectrodiff.checkpoints.layouts.names import mt3_sources, port_sources, t5x_sources
from spectrodiff.checkpoints.model import Description, as_json, read_description
from spectrodiff.checkpoints.tree import expected_shapes
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.diffusion.sampling import PAPER_SAMPLING
from spectrodiff.models.config import LARGEST, SIZES, ModelConfig
from spectrodiff.models.definition import define
from spectrodiff.models.mt3 import Mt3
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION

PATH = Path("folder/model.json")
VALUES = as_json(
    Description(SIZES["small"], "eps", "cosine", RELEASED_TOKENIZATION, PAPER_SAMPLING)
)


@pytest.mark.parametrize("name", LARGEST)
def test_sizes_have_upper_bounds(name):
    assert {field.name for field in dataclasses.fields(ModelConfig) if field.type is int} == {
        *LARGEST
    }
    assert all(getattr(config, name) * 4 <= LARGEST[name] for config in SIZES.values())
    with pytest.raises(ConfigError, match=f"ModelConfig.{name}: .* to {LARGEST[name]}, got"):
        dataclasses.replace(SIZES["base"], **{name: LARGEST[name] + 2})


@pytest.mark.parametrize("context", [0, LARGEST["context_frames"]])
def test_the_largest_network_has_names_and_shapes(context):
    config = ModelConfig(**{**LARGEST, "context_frames": context})
    shapes = expected_shapes(config)
    layers, inner = 1024, 1024 * 4096
    assert shapes["decoder/layers/self_attention/query/kernel"] == (layers, 1 << 15, inner)
    assert sum(map(math.prod, shapes.values())) > 1 << 50
    sources = t5x_sources(config)
    assert sources.keys() == shapes.keys()
    assert len(sources["decoder/layers/mlp/up/kernel"]) == layers
    if context:
        assert port_sources(config).keys() == shapes.keys()
    else:
        assert mt3_sources(config).keys() == define(Mt3, config).named_shapes.keys()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("bins", [0, -1, 1_000_000_000, 10**400, 1.5, True, None, "1", [1]])
def test_velocity_bins(number, bins):
    values = {**VALUES, "format": number, "velocity_bins": bins}
    if number > 1:
        values["tokenization"] = {**values["tokenization"], "velocity_bins": bins}
    with pytest.raises(CheckpointError, match=r"model\.json: expected .*velocity_bins") as error:
        read_description(
            PATH, values, lambda settings: {"velocity_bins": settings["velocity_bins"]}
        )
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("sampling", {"steps": 100_001}),
        ("sampling", {"times": [1 - i / 50_000 for i in range(50_000)]}),
        ("sampling", {"variance": "medium:" + "9" * 900_000}),
        ("sampling", {"sampler": "x" * 900_000}),
        ("sampling", {"x" * 900_000: 1}),
        ("tokenization", {"programs": list(range(100_000))}),
        ("tokenization", {"drums": list(range(100_000))}),
        ("tokenization", {"program_map": "x" * 900_000}),
        ("model", {"decoder_layers": 1_000_000_000}),
        ("model", {"mel_bins": 10**4000}),
        ("model", {"kind": "x" * 900_000}),
        ("model", {"x" * 900_000: 1}),
    ],
)
def test_other_settings(part, changes):
    with pytest.raises(CheckpointError, match=r"model\.json: expected") as error:
        read_description(PATH, {**VALUES, part: {**VALUES[part], **changes}}, dict)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("levels", ["1000001", "1000000000000", "9" * 5000])
def test_schedules_have_at_most_a_million_levels(levels):
    with pytest.raises(CheckpointError, match=r"model\.json: expected a schedule"):
        read_description(PATH, {**VALUES, "schedule": f"linear:1e-4:0.02:{levels}"}, dict)
