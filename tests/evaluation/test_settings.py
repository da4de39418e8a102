import dataclasses

import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling, SamplingChanges
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.music.tokenization import Tokenization


def test_what_is_not_asked_for_is_the_models_own():
    sampling = Sampling("dpmpp", 7, 1.25, "small")
    settings = Evaluation(guidance=3.0).with_model_defaults(
        sampling, Tokenization(program_map="flat")
    )
    assert (settings.sampler, settings.steps, settings.variance) == ("dpmpp", 7, "small")
    assert (settings.guidance, settings.program_map) == (3.0, "flat")
    assert settings.max_minutes == 10.0


def test_every_sampling_setting_can_be_changed():
    names = {field.name for field in dataclasses.fields(Sampling)}
    assert SamplingChanges.__annotations__.keys() == names
    for owner in (Row("a"), Evaluation()):
        assert names <= vars(owner).keys()
    assert Row("a").sampling.keys() == names
    changed = vars(
        Sampling(
            "dpmpp",
            2,
            1.25,
            "small",
            mask_context=True,
            spacing="logsnr",
            times=(0.5, 0.25),
            start=0.9,
            guidance_times=(0.1, 0.9),
            context_guidance=2.0,
            overlap=8,
        )
    )
    (row,) = Evaluation(rows=(Row("a"),), **changed).wanted_rows()
    assert row.sampling == changed


def test_segments_of_all_rows_are_as_long():
    same = Evaluation(rows=(Row("a", overlap=8), Row("b")), overlap=8)
    assert [row.overlap for row in same.wanted_rows()] == [8, 8]
    other = Evaluation(rows=(Row("a", overlap=4),))
    with pytest.raises(ConfigError, match=r"Row\.overlap of a: expected 8, as in"):
        other.with_model_defaults(Sampling(overlap=8), Tokenization()).wanted_rows()


def test_times_belong_to_their_number_of_steps():
    fitted = Sampling("dpmpp", 2, times=(0.9, 0.3))
    rows = (Row("own"), Row("more", steps=3), Row("other", times=(0.8, 0.5, 0.2)))
    settings = Evaluation(rows=rows).with_model_defaults(fitted, Tokenization())
    found = {row.name: (row.steps, row.times) for row in settings.wanted_rows()}
    assert found == {
        "own": (2, (0.9, 0.3)),
        "more": (3, None),
        "other": (3, (0.8, 0.5, 0.2)),
    }
    settings = Evaluation(rows=rows, spacing="logsnr").with_model_defaults(fitted, Tokenization())
    assert (settings.steps, settings.times) == (2, None)


def test_rows_take_what_they_do_not_say():
    rows = (Row("slow"), Row("fast", steps=20, sampler="dpmpp", inverter="griffin-lim"))
    slow, fast = Evaluation(rows=rows, sampler="ddpm", steps=100, seed=3).wanted_rows()
    assert (slow.sampler, slow.steps, slow.seed, slow.inverter) == ("ddpm", 100, 3, None)
    assert (fast.sampler, fast.steps, fast.seed, fast.inverter) == ("dpmpp", 20, 3, "griffin-lim")
    # Zero is a seed of its own, not one left out.
    assert Evaluation(rows=(Row("a", seed=0),), seed=3).wanted_rows()[0].seed == 0


def test_references_only():
    settings = Evaluation(references_only=True)
    assert [row.source for row in settings.wanted_rows()] == ["encoded", "raw"]
    with pytest.raises(ConfigError, match="a row without a model"):
        Evaluation(references_only=True, rows=(Row("model"),)).wanted_rows()


def test_titles():
    assert Row("griffin-lim_fast").heading == "Griffin-lim fast"
    assert Row("x", title="Inverter").heading == "Inverter"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": (Row("a"), Row("a"))}, "rows of different names"),
        ({"rows": ()}, "rows of different names"),
        ({"rows": ("model",)}, r"Evaluation.rows: expected a list, each a Row, got \('model',\)"),
        ({"steps": 0}, "Evaluation.steps: expected a whole number >= 1, got 0"),
        ({"transcriber_batch_size": 0}, "transcriber_batch_size: expected a whole number >= 1"),
        ({"seed": -1}, "Evaluation.seed: expected a whole number >= 0, got -1"),
        ({"guidance": float("nan")}, "Evaluation.guidance: expected a finite number"),
        ({"songs": 0}, "Evaluation.songs: expected a whole number >= 1"),
        ({"max_minutes": 0}, "Evaluation.max_minutes"),
        ({"max_minutes": float("inf")}, "Evaluation.max_minutes: expected a finite number > 0"),
        ({"precision": "float64"}, "Evaluation.precision: expected one of"),
        ({"onnx": "a.onnx"}, "Evaluation.onnx: expected a list, each text in quotes"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        Evaluation(**settings)


@pytest.mark.parametrize("name", ["", "recording", "A", "a/b", "../a", "a.b", "-a"])
def test_impossible_names(name):
    with pytest.raises(ConfigError, match=r"Row.name"):
        Row(name)


def test_impossible_rows():
    with pytest.raises(ConfigError, match=r"Row.steps: expected a whole number >= 1, got 0"):
        Row("a", steps=0)
    with pytest.raises(ConfigError, match=r"Row.seed: expected a whole number >= 0, got -1"):
        Row("a", seed=-1)
