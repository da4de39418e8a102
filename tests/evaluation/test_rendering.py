"""Rendering of rows with a synthesizer whose features are known, and how often it happens."""

import dataclasses

import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.audio.features import log_mel
from spectrodiff.checkpoints import bundled
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.evaluation.checksums import checkpoint_checksum
from spectrodiff.evaluation.protocol import ALIGNED, EvaluationSong
from spectrodiff.evaluation.rendering import (
    Inverters,
    ModelInfo,
    Renderer,
    describe,
    whole_groups,
)
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.evaluation.store import SongFiles
from spectrodiff.inverter import GriffinLim, Inverter, ScorePhases
from spectrodiff.models.config import SIZES
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION
from spectrodiff.synthesis.parts import Song
from spectrodiff.synthesis.songs import group_songs
from tests.support.inverters import HissInverter
from tests.support.notation import note_table

ROWS = (
    Evaluation(
        rows=(
            Row("model"),
            Row("model_b", inverter="b"),
            Row("fast", steps=5),
            Row("encoded", "encoded"),
            Row("encoded_b", "encoded", inverter="b"),
            Row("raw", "raw"),
        ),
        steps=10,
    )
    .with_model_defaults(PAPER_SAMPLING, RELEASED_TOKENIZATION)
    .wanted_rows()
)
BARE = ModelInfo("untrained", "0123abcd", Checkpoint(SIZES["tiny"], {}))


class ConstantInverter(Inverter):
    """Inverter whose audio is constant within a frame."""

    name, reach_frames = "", 0

    def __init__(self, name, gain):
        self.name, self.gain = name, gain

    def __call__(self, log_mel):
        return np.repeat(self.gain * np.exp(log_mel[:, 5]), 320).astype(np.float32)


class Synthesizer:
    """Features whose level is a hundredth of the first pitch and of the steps."""

    def __init__(self, inverter):
        self.inverter, self.calls, self.names = inverter, [], []

    def tokenize(self, notes, *, name, overlap=0):
        self.names.append(name)
        return notes

    def render_each(self, songs, *, steps, batch_size, progress, **settings):
        self.calls.append((steps, len(songs), batch_size))
        for number in reversed(range(len(songs))):
            level = np.log((songs[number].pitch[0] + steps) / 100)
            frames = int(songs[number].total_seconds * 50) + 1
            features = np.full((frames, 128), level, np.float32)
            samples = int(songs[number].total_seconds * 16_000)
            yield number, Song(self.inverter(features)[:samples], 16_000, features)


class Corpus:
    name, protocol = "pairs/own", ALIGNED

    def __getitem__(self, number):
        rng = np.random.default_rng(number)
        audio = (rng.integers(-8000, 8000, 20_000 + 7 * number) / 32768).astype(np.float32)
        notes = note_table([(0.1, 0.2, 60 + number, 100, 0, False)], len(audio) / 16_000)
        return EvaluationSong(f"song {number}", audio, notes, notes)


INVERTERS = {None: ConstantInverter("a", 0.1), "b": ConstantInverter("b", 0.05)}


@pytest.fixture
def synthesizer():
    return Synthesizer(INVERTERS[None])


@pytest.fixture
def renderer(tmp_path, synthesizer):
    descriptions = {row.name: describe(row, BARE, "float32") for row in ROWS}
    return Renderer(
        tmp_path,
        ROWS,
        descriptions,
        lambda row: INVERTERS[row.inverter],
        lambda: synthesizer,
        BARE.bare.tokenization,
        2,
        progress=False,
    )


def read(renderer, number, name):
    row = next(row for row in ROWS if row.name == name)
    return SongFiles(renderer.root, "pairs/own", f"song {number}").read_audio(row)


def test_references(renderer, synthesizer):
    renderer.references(Corpus(), [0, 2])
    for number in (0, 2):
        audio = Corpus()[number].audio
        np.testing.assert_array_equal(read(renderer, number, "raw"), audio)
        expected = np.repeat(np.exp(log_mel(audio))[:, 5], 320)[: len(audio)]
        for name, gain in (("encoded", 0.1), ("encoded_b", 0.05)):
            np.testing.assert_allclose(read(renderer, number, name), gain * expected, atol=4e-5)
    assert not synthesizer.calls


def test_rows_of_equal_sampling_are_sampled_once(renderer, synthesizer):
    renderer.model(Corpus(), [0, 1, 2])
    # Two rows share ten steps.
    assert synthesizer.calls == [(10, 3, 2), (5, 3, 2)]
    for name, number, level in (
        ("model", 0, 0.070),
        ("model_b", 0, 0.035),
        ("fast", 0, 0.065),
        ("model", 2, 0.072),
    ):
        audio = read(renderer, number, name)
        assert len(audio) == pytest.approx(len(Corpus()[number].audio), abs=1)
        np.testing.assert_allclose(audio, level, atol=4e-5)


def test_what_is_there_is_not_made_again(renderer, synthesizer):
    renderer.model(Corpus(), [0])
    first = SongFiles(renderer.root, "pairs/own", "song 0").audio(ROWS[0])
    written = first.stat().st_mtime_ns
    renderer.model(Corpus(), [0, 1])
    # Both songs are of one batch, but what was stored stays.
    assert synthesizer.calls == [(10, 1, 2), (5, 1, 2), (10, 2, 2), (5, 2, 2)]
    assert first.stat().st_mtime_ns == written
    synthesizer.calls.clear()
    before = read(renderer, 1, "model_b")
    SongFiles(renderer.root, "pairs/own", "song 1").audio(ROWS[1]).unlink()
    # Another inverter costs no sampling.
    renderer.model(Corpus(), [0, 1])
    assert not synthesizer.calls
    np.testing.assert_array_equal(read(renderer, 1, "model_b"), before)


def test_audio_of_stored_features_is_that_of_the_rendering(tmp_path, golden):
    """Phases from the score are those of the notes as the model hears them, either way."""
    synth = sd.load(
        golden / "checkpoints" / "diffusers",
        inverter=ScorePhases(HissInverter()),
        tokenization={"programs": (0, 33), "drums": (), "trim_overlaps": True},
    )
    row = dataclasses.replace(ROWS[0], sampler="dpmpp", steps=2)
    renderer = Renderer(
        tmp_path,
        [row],
        {row.name: describe(row, BARE, "float32", score_phases=True)},
        lambda row: synth.inverter,
        lambda: synth,
        synth.tokenization,
        1,
        progress=False,
    )
    # A violin that is replaced, notes that overlap on a key, and a drum that is left out.
    rows = [(0.1, 1.0, 60, 100, 40, False), (0.3, 0.5, 60, 90, 0, False)]
    rows += [(0.4, 1.2, 52, 80, 33, False), (0.6, 0.7, 52, 80, 33, False)]
    rows += [(0.5, 0.6, 38, 80, 0, True)]

    class Band(Corpus):
        def __getitem__(self, number):
            return dataclasses.replace(super().__getitem__(number), notes=note_table(rows, 1.25))

    renderer.model(Band(), [0])
    files = SongFiles(tmp_path, "pairs/own", "song 0")
    rendered = files.read_audio(row)
    files.audio(row).unlink()
    renderer.model(Band(), [0])
    scale = np.abs(rendered).max()
    assert scale > 0.01
    np.testing.assert_allclose(files.read_audio(row), rendered, atol=0.01 * scale)


def test_batches_are_the_same_after_an_interruption():
    lengths = [3, 9, 3, 5, 7, 1, 2]
    # Batches of three, longest first: songs 1, 4, 3, then 0, 2, 6, then 5.
    assert whole_groups(lengths, 3, {0, 1, 2, 3, 4, 5, 6}) == [0, 1, 2, 3, 4, 5, 6]
    assert whole_groups(lengths, 3, {6}) == [0, 2, 6]
    assert whole_groups(lengths, 3, {4, 5}) == [1, 3, 4, 5]
    # Song 5 would be alone.
    assert whole_groups(lengths, 3, {5}) == [1, 3, 4, 5]
    assert whole_groups(lengths, 1, {1}) == [1, 4]
    assert whole_groups(lengths, 1, {0, 4}) == [0, 4]
    assert whole_groups([4], 3, {0}) == [0]
    # They are grouped as all songs were.
    for waiting in ({6}, {4, 5}, {0, 5}):
        places = whole_groups(lengths, 3, waiting)
        groups = group_songs([lengths[place] for place in places], 3)
        again = [[places[song] for song in group] for group in groups]
        assert all(group in group_songs(lengths, 3) for group in again)


def test_audio_without_features_is_enough(renderer, synthesizer):
    renderer.model(Corpus(), [0])
    for path in (renderer.root / "features").rglob("*.npy"):
        path.unlink()
    synthesizer.calls.clear()
    renderer.model(Corpus(), [0])
    assert not synthesizer.calls


@pytest.fixture(autouse=True)
def no_inverter_in_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path)


def test_descriptions(tmp_path):
    model = describe(ROWS[0], BARE, "float32")
    assert model == {
        "source": "model",
        "model": "0123abcd",
        "precision": "float32",
        "tokenization": {
            "velocity_bins": 1,
            "ties": True,
            "program_map": "slakh",
            "programs": None,
            "drums": None,
            "trim_overlaps": False,
        },
        "sampler": "ddpm",
        "steps": 10,
        "guidance": 2.0,
        "variance": "large",
        "seed": 0,
        "inverter": "griffin-lim",
    }
    # Another value of any setting of the sampling is other audio.
    later = {
        "mask_context": True,
        "spacing": "logsnr",
        "times": (0.9, 0.5),
        "start": 0.9,
        "guidance_times": (0.25, 0.75),
        "context_guidance": 3.0,
        "overlap": 2,
    }
    changed = describe(dataclasses.replace(ROWS[0], steps=2, **later), BARE, "float32")
    # As stored, in JSON.
    lists = {"times": [0.9, 0.5], "guidance_times": [0.25, 0.75]}
    assert changed == {**model, "steps": 2, **later, **lists}
    assert {field.name for field in dataclasses.fields(BARE.bare.sampling)} <= changed.keys()
    assert describe(Row("raw", "raw"), BARE, "float32") == {"source": "raw"}
    file = tmp_path / "inverter.onnx"
    file.write_bytes(b"123456789")
    encoded = describe(Row("encoded", "encoded", inverter=str(file)), BARE, "float32")
    assert encoded == {"source": "encoded", "inverter": "inverter.onnx cbf43926"}
    scored = describe(ROWS[3], BARE, "float32", score_phases=True)
    assert scored["inverter"] == "griffin-lim, phases from the score"
    # The model's own inverter, where it has one.
    own = ModelInfo("m", "0", dataclasses.replace(BARE.bare, inverter=file))
    assert describe(ROWS[0], own, "float32")["inverter"] == "inverter.onnx cbf43926"


def test_the_protocol_counts_what_segments_add():
    own = dataclasses.replace(BARE.bare, sampling=Sampling(overlap=5))
    model, frames = ModelInfo("m", "0", own), own.config.target_frames
    for settings, overlap in ((Evaluation(), 5), (Evaluation(overlap=3), 3)):
        assert model.protocol(settings).segment_frames == frames - overlap


def test_rows_that_need_a_model(caplog):
    nothing = ModelInfo.read(None)
    with pytest.raises(ConfigError, match="model: expected a model for the row model, got none"):
        describe(ROWS[0], nothing, "float32")
    assert describe(ROWS[3], nothing, "float32")["inverter"] == "griffin-lim"
    assert isinstance(Inverters(nothing, "cpu")(Evaluation()), GriffinLim)
    assert "Griffin-Lim, which sounds rougher" in caplog.text


def test_impossible_samplers_and_models():
    with pytest.raises(ConfigError, match="variance"):
        describe(dataclasses.replace(ROWS[0], variance="huge"), BARE, "float32")
    with pytest.raises(CheckpointError, match="nowhere"):
        ModelInfo.read("nowhere/at/all")
    with pytest.raises(CheckpointError, match="no such file"):
        Inverters(BARE, "cpu")(Row("model", inverter="nowhere.onnx"))


def test_a_model_is_looked_at(golden):
    model = ModelInfo.read(str(golden / "checkpoints/t5x"))
    assert model.bare.params == {}
    assert model.checksum == checkpoint_checksum(open_checkpoint(golden / "checkpoints/t5x"))
