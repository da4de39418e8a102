"""The sweeps of benchmarks/, on synthetic recordings."""

import csv
import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.recordings import Plan, Recording, RecordingGroup, StemReader
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.synthesis.synthesizer import Synthesizer
from tests.support.corpora import table, tone

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = ("sweeps", "sweep_measures", "sweep_plots", "listening", "fit_times")
SECONDS = 1.2


@pytest.fixture(scope="module")
def modules():
    """Imports the three modules of the sweeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import sweep_measures
        import sweep_plots
        import sweeps

        # Random parameters are computed once, because that is compiled.
        patch.setattr(
            sweep_measures, "open_checkpoint", functools.cache(sweep_measures.open_checkpoint)
        )
        yield sweeps, sweep_measures, sweep_plots
    for name in [name for name in sys.modules if name.split(".")[0] in MODULES]:
        sys.modules.pop(name)


def audio(hertz):
    return tone(SECONDS, hertz, 16_000).astype(np.float32)


def notes(pitch):
    return table((0.1, 0.5, pitch), (0.6, 1.1, pitch + 2))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of two recordings of 1.2 seconds."""
    folder = tmp_path_factory.mktemp("corpus")
    groups = [
        RecordingGroup.single(
            name, StemReader(functools.partial(audio, hertz), functools.partial(notes, pitch))
        )
        for name, hertz, pitch in (("a", 440, 69), ("b", 880, 81))
    ]
    prepare("made_up", "two", Plan({"test": groups}), folder)
    return folder


def sweep(sweeps, corpus, out, *more):
    flags = ["--model", "untrained", "--data_dir", str(corpus), "--dataset", "made_up/two"]
    sweeps.main([*more, *flags, "--out", str(out), "--transcriber", "none"])


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def generated(modules, monkeypatch):
    """A model that generates the recordings plus 1 / steps; returns the list of its settings."""
    sweeps, measures, _ = modules
    monkeypatch.setattr(sweeps, "enable_compilation_cache", lambda: None)
    cells = []

    def generate(model, cell, music):
        cells.append(cell)
        # Two additional frames.
        longer = [np.pad(song.log_mel, ((0, 2), (0, 0)), mode="edge") for song in music]
        return [log_mel + 1 / cell.steps for log_mel in longer]

    monkeypatch.setattr(measures.Model, "generate", generate)
    return cells


def test_tables_and_pictures_of_all_sweeps(modules, corpus, tmp_path, generated):
    sweeps, *_ = modules
    options = ["--samplers", "ddim", "dpmpp", "--steps", "2", "4", "--weights", "1", "2"]
    names = ["steps", "guidance", "drift", "models"]
    sweep(sweeps, corpus, tmp_path, *names, "--minutes", "1.2", "--medleys", "1", *options)
    recordings, *rows = read(tmp_path / "steps.csv")
    assert (recordings["model"], float(recordings["log_mel_l1"])) == ("recordings", 0)
    measured = [(row["sampler"], int(row["steps"]), float(row["log_mel_l1"])) for row in rows]
    for (sampler, steps, l1), (known_sampler, known_steps) in zip(
        measured, [("ddim", 2), ("ddim", 4), ("dpmpp", 2), ("dpmpp", 4)], strict=True
    ):
        assert (sampler, steps) == (known_sampler, known_steps)
        assert l1 == pytest.approx(1 / steps, rel=1e-5)
    assert [row["guidance"] for row in read(tmp_path / "guidance.csv")] == ["", "1.0", "2.0"]
    # The error is constant in time, so there is no drift.
    with_context, without = read(tmp_path / "drift.csv")[1:]
    assert (with_context["context"], without["context"]) == ("True", "False")
    assert float(without["l1_per_minute"]) == pytest.approx(0, abs=1e-6)
    assert {path.stem for path in tmp_path.glob("*.png")} == set(names)
    # The setting of the last sweep is one of the second; medleys are measured separately.
    assert len(generated) == 4 + 2 + 2 + 0


def test_settings_are_compared_with_the_fixed_ones(modules, corpus, tmp_path, generated):
    sweeps, *_ = modules
    options = ["--samplers", "ddim", "--steps", "4", "2", "--weights", "1", "2"]
    sweep(sweeps, corpus, tmp_path, "settings", *options, "--sampler_steps", "4")
    kept, *others = read(tmp_path / "settings.csv")[1:]
    assert (kept["sampler"], kept["steps"], kept["guidance"]) == ("dpmpp", "4", "2.0")
    assert kept["aligned_l1_change"] == "+0.000 (+0.000 to +0.000)"
    # All combinations, without the fixed one.
    combinations = [(row["guidance"], row["steps"]) for row in others]
    assert combinations == [("1.0", "4"), ("1.0", "2"), ("2.0", "2")]
    # The aligned distance does not depend on the level.
    assert [float(row["log_mel_l1"]) for row in others] == pytest.approx([0.25, 0.5, 0.5])
    assert [float(row["aligned_l1"]) for row in others] == pytest.approx([0, 0, 0], abs=1e-5)
    # Without a transcriber, there is no onset F1.
    assert {row["onset_f1_change"] for row in others} == {""}
    assert (tmp_path / "settings.png").is_file()


def test_free_settings_are_compared_with_the_plain_one_of_equal_cost(
    modules, corpus, tmp_path, generated
):
    sweeps, *_ = modules
    (tmp_path / "times.json").write_text('{"3": [0.9, 0.8, 0.1]}')
    options = ["--evaluations", "4", "6", "--guidance", "1.5"]
    sweep(sweeps, corpus, tmp_path, "free", *options, "--times", str(tmp_path / "times.json"))
    rows = read(tmp_path / "free.csv")[1:]
    # 4 evaluations: the plain setting, spacing, start, three places of guidance, none at all.
    # 6 evaluations: fitted times, too, and two weights of the context.
    assert [row["evaluations"] for row in rows] == ["4"] * 7 + ["6"] * 10
    by_name = {(row["evaluations"], row["setting"]): row for row in rows}
    cells = {(cell.sampling.evaluations, cell.setting): cell for cell in generated}
    assert cells.keys() == {(int(cost), name) for cost, name in by_name}
    for cost in ("4", "6"):
        assert by_name[cost, "plain"]["aligned_l1_change"] == "+0.000 (+0.000 to +0.000)"
    assert cells[6, "fitted times"].times == (0.9, 0.8, 0.1)
    assert cells[6, "start 0.96"].sampling == Sampling("dpmpp", 3, 1.5, start=0.96)
    # Four steps start at 1, 3/4, 1/2 and 1/4.
    assert cells[6, "4 steps, first 2 guided"].guidance_times == (0.75, 1.0)
    assert cells[6, "4 steps, middle 2 guided"].guidance_times == (0.5, 0.75)
    assert cells[6, "4 steps, last 2 guided"].guidance_times == (0.25, 0.5)
    weights = [cell.context_guidance for cell in generated if cell.context_guidance]
    assert weights == [0.75, 2.25]
    # The features of the stand-in depend on the number of steps alone, and songs have no joins.
    assert {row["joins"] for row in rows} == {""}
    assert (tmp_path / "free.png").is_file()


def test_fitted_times(modules):
    import fit_times

    wanted = (0.9, 0.35, 0.3)
    asked = []

    def distance(times):
        asked.append(times)
        return sum((a - b) ** 2 for a, b in zip(times, wanted, strict=True))

    times, closest = fit_times.fit(distance, (1.0, 0.6, 0.3), 0.01)
    np.testing.assert_allclose(times, wanted, atol=0.01)
    assert closest == distance(times) <= 3 * 0.01**2
    for some in asked:
        assert 1 >= some[0] > some[1] > some[2] > 0
    # The best first time is outside the range.
    times, _ = fit_times.fit(lambda times: abs(times[0] - 1.2), (0.5,), 0.01)
    assert times[0] == pytest.approx(1.0, abs=0.01)
    assert times[0] <= 1


def test_differences_are_between_the_same_songs(modules):
    sweeps, *_ = modules
    ours = [{"aligned_l1": 0.5, "onset_f1": f1} for f1 in (0.4, 0.6, 0.9)]
    theirs = [{"aligned_l1": 0.6, "onset_f1": f1} for f1 in (0.5, 0.7, 1.0)]
    # Songs differ, but not the differences of settings, so the intervals are points.
    assert sweeps.differences(ours, theirs) == {
        "aligned_l1_change": "-0.100 (-0.100 to -0.100)",
        "onset_f1_change": "-0.100 (-0.100 to -0.100)",
    }
    assert sweeps.differences(ours[:1], theirs[:1])["onset_f1_change"] == "-0.100"


def test_measurements_are_stored(modules, corpus, tmp_path, generated):
    sweeps, *_ = modules
    options = "steps", "--samplers", "ddim", "--steps"
    sweep(sweeps, corpus, tmp_path, *options, "2")
    before = read(tmp_path / "steps.csv")
    sweep(sweeps, corpus, tmp_path, *options, "2", "3")
    assert [cell.steps for cell in generated] == [2, 3]
    assert read(tmp_path / "steps.csv")[:2] == before
    # Other songs are measured again.
    sweep(sweeps, corpus, tmp_path, *options, "2", "--pieces", "1")
    assert [cell.steps for cell in generated] == [2, 3, 2]


def test_generated_features_are_those_of_the_library(modules, corpus):
    _, measures, _ = modules
    model = measures.Model.load("untrained", batch_size=1, seed=3)
    (song,) = measures.open_songs(corpus, "made_up/two", "test", 1)
    (ours,) = model.generate(measures.Cell("untrained", "ddim", 2, 2.0), [song])
    rendered = Synthesizer(model.checkpoint, model.inverter).render(
        song.recording.notes, sampler="ddim", steps=2, guidance=2.0, seed=3
    )
    np.testing.assert_allclose(ours, rendered.log_mel, atol=1e-4)


def test_without_context_all_context_is_hidden(modules):
    _, measures, _ = modules
    seen = []

    def model(batch, on_steps):
        seen.append(batch.context_mask)
        return batch.context

    batch = measures.SegmentBatch(
        np.zeros((2, 64), np.int32), np.ones((2, 4, 3)), np.full((2, 4), True), None
    )
    measures.WithoutContext(model)(batch)
    assert not seen[0].any()
    assert seen[0].shape == (2, 4)


def test_a_medley_is_its_songs_end_to_end(modules):
    _, measures, _ = modules
    # 1.2 s are 60 frames; a song of 1.19 s is padded to them.
    first = Recording("a", np.full(19_200, 1, np.int16), notes(60))
    second = Recording("b", np.full(19_040, 2, np.int16), notes(70))
    medley = measures.join(
        [measures.SweepSong(first), measures.SweepSong(second)], 1, 3.0
    ).recording
    assert len(medley.audio) == 48_000
    np.testing.assert_array_equal(medley.audio[[0, 19_039, 19_041, 38_399]], [2, 2, 0, 1])
    np.testing.assert_allclose(medley.notes.onset_seconds, [0.1, 0.6, 1.3, 1.8, 2.5])
    np.testing.assert_array_equal(medley.notes.pitch, [70, 72, 60, 62, 70])
    assert medley.notes.total_seconds == 3.0


def test_times_of_all_songs_are_binned(modules):
    *_, plots = modules
    seconds, means = plots.along_time([([2, 8, 20], [1, 3, 5]), ([4, 50], [5, 7])])
    np.testing.assert_array_equal(seconds, [7.5, 22.5, 52.5])
    np.testing.assert_array_equal(means, [3, 5, 7])


def test_an_autoregressive_model_is_refused(modules, tmp_path, monkeypatch):
    _, measures, _ = modules
    checkpoint = measures.open_checkpoint("untrained")
    config = measures.dataclasses.replace(
        checkpoint.config, kind="autoregressive", context_frames=0
    )
    other = measures.dataclasses.replace(checkpoint, config=config)
    monkeypatch.setattr(measures, "open_checkpoint", lambda name: other)
    with pytest.raises(ConfigError, match="a diffusion model, got some, an autoregressive one"):
        measures.Model.load("some", 1, 0)
