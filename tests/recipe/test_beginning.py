"""Checks of a recipe before any work: weights to start from, and files to replace."""

import concurrent.futures
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from spectrodiff.checkpoints.bundled import WEIGHTS
from spectrodiff.core.errors import CheckpointError, ConfigError, OutputError
from spectrodiff.recipe.inverter import InverterTraining
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.run import networks_end, run
from spectrodiff.recipe.settings import NETWORKS, TINY, RunOptions
from spectrodiff.recipe.student import StudentTraining
from spectrodiff.recipe.synthesizer import SynthesizerTraining

PACKAGED = WEIGHTS / "inverter.safetensors"


def begin(training, tmp_path, **options):
    no_songs = SimpleNamespace()
    with concurrent.futures.ThreadPoolExecutor(1) as compilers:
        training(TINY, RunOptions(1.0, tmp_path, 1, **options), no_songs, compilers)


@pytest.mark.parametrize(
    ("path", "what"),
    [(PACKAGED, "expected an inverter of .*recurrent"), (Path("none.safetensors"), "none")],
)
def test_another_inverter_is_refused(tmp_path, path, what):
    with pytest.raises(CheckpointError, match=what):
        begin(InverterTraining, tmp_path, init_inverter=path)


def test_another_prediction_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="prediction 'v', got 'eps'"):
        begin(SynthesizerTraining, tmp_path, init_from="untrained")


def test_a_student_needs_a_teacher(tmp_path):
    with pytest.raises(ConfigError, match="init_from: expected a model that the student learns"):
        RunOptions(1.0, tmp_path, 1, train=("student", "inverter"))
    with pytest.raises(CheckpointError, match="prediction 'v', got 'eps'"):
        begin(StudentTraining, tmp_path, train=("student",), init_from="untrained")
    with pytest.raises(ConfigError, match=r"Network\.\w+: expected .*, as of the teacher mini"):
        begin(StudentTraining, tmp_path, train=("student",), init_from="mini")


@pytest.mark.parametrize("name", ["model", "student"])
def test_a_folder_that_is_no_model_is_not_replaced(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="a model to replace"):
        run(TINY, None, RunOptions(1.0, tmp_path, 1))


@pytest.mark.parametrize(
    ("trained", "ends"),
    [
        (NETWORKS, {"synthesizer": 52, "student": 72, "inverter": 100}),
        (("inverter",), {"inverter": 100}),
        (("student", "synthesizer"), {"synthesizer": 72.2, "student": 100}),
    ],
)
def test_networks_are_trained_one_after_another(trained, ends):
    """Checks the fractions of the time: 0.52, 0.2 and 0.28, or what they are of those trained."""
    recipe = dataclasses.replace(TINY, student_share=0.2, inverter_share=0.28)
    assert networks_end(recipe, trained, begin=0.0, deadline=100.0) == pytest.approx(ends, abs=0.1)


def test_a_log_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="can be written"):
        RecipeLog(tmp_path).note("a folder is no file")
