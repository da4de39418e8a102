"""Models are used with what they were trained with: one run with every setting changed."""

import dataclasses
import json
import shutil
from typing import ClassVar

import gin
import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.commands import train
from spectrodiff.commands.prepare import main as prepare
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.music.vocabulary import Vocabulary
from spectrodiff.synthesis.segments import diffusion as segments
from spectrodiff.synthesis.segments import kept
from spectrodiff.training.run_folder import open_run
from spectrodiff.training.tasks import shared as diffusion_task
from tests.support import tiny
from tests.support.corpora import write_notes, write_tone
from tests.support.notation import note_table

TOKENIZATION = Tokenization(
    velocity_bins=32,
    ties=False,
    program_map="full",
    programs=(0, 25, 34),
    drums=(38,),
    trim_overlaps=True,
)
SAMPLING = Sampling(
    "ddim",
    steps=3,
    guidance=1.25,
    variance="small",
    mask_context=True,
    spacing="logsnr",
    times=(0.9, 0.7, 0.25),
    start=0.95,
    guidance_times=(0.5, 0.8),
    context_guidance=1.75,
    overlap=3,
)
CONFIG = f"""
{tiny.NETWORK_GIN}Network.dropout = 0.0
Training.steps = 1
Training.batch_size = 8
Training.evaluation_examples = 2
Training.previews = 1
Data.corpora = ['pairs/own']
Data.workers = 0
"""


class Recorder(segments.DiffusionSegments):
    """Notes how it was asked to draw."""

    asked: ClassVar[list[Sampling]] = []

    def __init__(self, *arguments, sampling, **others):
        self.asked.append(sampling)
        super().__init__(*arguments, sampling=sampling, **others)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one step, and how its previews were drawn."""
    home = tmp_path_factory.mktemp("home")
    for number in range(2):
        write_tone(home / "pairs" / f"{number}.wav", 1.0, hertz=220)
        write_notes(home / "pairs" / f"{number}.mid", (0.0, 0.5, 60), (0.4, 0.9, 64))
    prepare(["pairs", "--source", str(home / "pairs"), "--data_dir", str(home / "data")])
    given = [
        f"{type(settings).__name__}.{name} = {value!r}"
        for settings in (TOKENIZATION, SAMPLING)
        for name, value in vars(settings).items()
        if not isinstance(value, Vocabulary)
    ]
    (home / "config.gin").write_text(CONFIG + "\n".join(given))
    paths = ["--data_dir", str(home / "data"), "--run_dir", str(home / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion_task, "DiffusionSegments", Recorder)
        patch.setenv("SPECTRODIFF_CACHE", str(home / "cache"))
        train.main(["--gin_file", str(home / "config.gin"), *paths])
    gin.clear_config()
    previews, Recorder.asked = Recorder.asked, []
    return home / "run", previews


def test_every_field_differs_from_the_released():
    for ours, theirs in ((TOKENIZATION, RELEASED_TOKENIZATION), (SAMPLING, PAPER_SAMPLING)):
        for name in type(ours).__dataclass_fields__:
            # With onsets only, most other settings would have no effect (see the test below).
            expected = name != "onsets_only"
            assert (getattr(ours, name) != getattr(theirs, name)) == expected, name


@pytest.fixture(scope="module", params=["run", "model"])
def synth(request, run, tmp_path_factory):
    """The run as it lies, and in our own layout."""
    folder = run[0]
    if request.param == "model":
        folder = tmp_path_factory.mktemp("stored") / "model"
        save_model(open_checkpoint(run[0]), folder)
    return sd.load(folder, inverter="griffin-lim")


def test_settings_come_back(synth):
    assert synth.tokenization == TOKENIZATION
    assert synth.sampling == SAMPLING


def test_previews_are_drawn_as_the_model_will_be(run):
    assert run[1] == [SAMPLING]


def test_rendering_draws_as_the_model_says_unless_asked(synth, monkeypatch):
    monkeypatch.setattr(kept, "DiffusionSegments", Recorder)
    monkeypatch.setattr(Recorder, "asked", [])
    notes = note_table([(0.0, 0.1, 60, 100, 0, False)])
    synth.render(notes)
    next(synth.stream(notes, guidance=1.0))
    next(synth.segments(notes, steps=2, variance="large", mask_context=False))
    next(synth.segments(notes, times=[0.5], guidance_times=(0.0, 1.0)))
    assert Recorder.asked == [
        SAMPLING,
        dataclasses.replace(SAMPLING, guidance=1.0),
        # Times belong to a number of steps.
        dataclasses.replace(SAMPLING, steps=2, times=None, variance="large", mask_context=False),
        dataclasses.replace(SAMPLING, steps=1, times=(0.5,), guidance_times=(0.0, 1.0)),
    ]


def test_tokens_are_those_of_training(synth):
    song = [
        # onset, offset, pitch, velocity, program, drum
        (0.0, 0.9, 60, 64, 25, False),  # ends where the key is struck again
        (0.1, 0.4, 60, 127, 25, False),
        (0.0, 0.1, 38, 1, 0, True),
        (0.0, 0.1, 42, 100, 0, True),  # a drum that the model does not know
        (0.2, 0.3, 40, 64, 33, False),  # a bass, which is played on the other
    ]
    ids = Vocabulary(32)

    def token(kind, value):
        return int(ids.encode(kind, value))

    # ceil(32 * 64 / 127) = 17, ceil(32 / 127) = 1. No tie section. The segment begins three frames
    # before the song, 6 steps.
    wanted = [
        token("shift", 6),
        *(token("program", 25), token("velocity", 17), token("pitch", 60)),
        *(token("velocity", 1), token("drum", 38)),
        *(token("shift", 16), token("velocity", 0), token("pitch", 60)),
        *(token("velocity", 32), token("pitch", 60)),
        *(token("shift", 26), token("program", 34), token("velocity", 17), token("pitch", 40)),
        1,  # 16 frames, 32 steps: the bass ends later
    ]
    first = synth.tokenize(note_table(song)).tokens[0]
    np.testing.assert_array_equal(first[first > 0], wanted)


def test_a_model_of_onsets(run, tmp_path):
    tokenization = dataclasses.replace(TOKENIZATION, onsets_only=True)
    model = dataclasses.replace(open_checkpoint(run[0]), tokenization=tokenization)
    save_model(model, tmp_path / "model")
    synth = sd.load(tmp_path / "model", inverter="griffin-lim")
    assert synth.tokenization == tokenization
    song = [
        (0.0, 0.1, 60, 64, 25, False),
        (0.0, 0.1, 38, 1, 0, True),
        (0.0, 0.1, 42, 100, 0, True),  # a drum that the model does not know
    ]
    first = synth.tokenize(note_table(song)).tokens[0]
    events = ("shift", 6), ("pitch", 38), ("pitch", 60)
    wanted = [int(Vocabulary(32).encode(*event)) for event in events]
    assert first[first > 0].tolist() == [*wanted, 1]


def test_a_field_can_be_overridden_and_others_stay(run):
    synth = sd.load(run[0], inverter="griffin-lim", tokenization={"ties": True})
    assert synth.tokenization.ties
    assert synth.tokenization.but({"ties": False}) == TOKENIZATION
    whole = sd.load(run[0], inverter="griffin-lim", tokenization=TOKENIZATION)
    assert whole.tokenization == TOKENIZATION
    # Families begin at 0, 24 and 32.
    families = TOKENIZATION.but({"program_map": "midi_class"})
    assert families.programs == (0, 24, 32)
    with pytest.raises(ConfigError, match=r"program_map: expected one of 'full', .*got 'gm'"):
        TOKENIZATION.but({"program_map": "gm"})
    with pytest.raises(ConfigError, match=r"expected one of velocity_bins, .*got 'tie'"):
        sd.load(run[0], tokenization={"tie": True})
    with pytest.raises(ConfigError, match="expected 32, as the model was trained, got 1"):
        sd.load(run[0], tokenization={"velocity_bins": 1})


def first_format(folder, copy):
    """A run as the first version described it: settings of tokens in Network and Data."""
    shutil.copytree(folder, copy)
    path = copy / "run.json"
    description = json.loads(path.read_text())
    tokenization, settings = description.pop("tokenization"), description["settings"]
    del description["sampling"], settings["Sampling"], settings["Tokenization"]
    settings["Network"]["velocity_bins"] = tokenization["velocity_bins"]
    for name in ("ties", "program_map", "trim_overlaps"):
        settings["Data"][name] = tokenization[name]
    description |= {"format": 1, "velocity_bins": tokenization["velocity_bins"]}
    path.write_text(json.dumps(description))
    return copy


def test_runs_of_the_first_format(run, tmp_path):
    folder = first_format(run[0], tmp_path / "old")
    checkpoint = open_checkpoint(folder)
    assert checkpoint.tokenization == dataclasses.replace(TOKENIZATION, programs=None, drums=None)
    # Such runs were rendered in the paper's way unless something else was asked for.
    assert checkpoint.sampling == PAPER_SAMPLING
    settings = train.configure([str(run[0].parent / "config.gin")], [])
    gin.clear_config()
    # It can go on under the same settings and no others.
    others = settings._replace(tokenization=dataclasses.replace(TOKENIZATION, ties=True))
    with pytest.raises(ConfigError, match=r"Tokenization.ties: expected False, as in the run"):
        open_run(folder, others, write=False)
    open_run(folder, settings, write=True)
    assert open_checkpoint(folder).tokenization == TOKENIZATION


def test_models_of_the_first_format(run, tmp_path):
    save_model(open_checkpoint(run[0]), tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    settings = json.loads(path.read_text())
    del settings["tokenization"], settings["sampling"]
    path.write_text(json.dumps(settings | {"format": 1, "velocity_bins": 32}))
    checkpoint = open_checkpoint(tmp_path / "model")
    assert checkpoint.tokenization == Tokenization(velocity_bins=32)
    assert checkpoint.sampling == PAPER_SAMPLING
