"""The train command: stopped and resumed runs, several processes, errors."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.commands.prepare import main as prepare
from spectrodiff.core.errors import CheckpointError
from tests.support import tiny
from tests.support.corpora import write_notes, write_tone
from tests.support.training_scripts import FULL_AT_STEP_4

ROOT = Path(__file__).parents[2]
STEPS = 20
TINY = f"""
{tiny.NETWORK_GIN}Network.dropout = 0.1
Optimization.ema_decay = 0.99
Training.steps = 20
Training.batch_size = 4
Training.random_bits = 'rbg'
Training.log_every = 1
Training.evaluate_every = 10
Training.evaluation_examples = 4
Training.previews = 0
Training.save_every = 4
Data.corpora = ['pairs/own']
Data.workers = 0
Sampling.sampler = 'dpmpp'
Sampling.steps = 4
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a prepared corpus, a config, and one run of 20 steps."""
    home = tmp_path_factory.mktemp("home")
    for number in range(4):
        write_tone(home / "pairs" / f"{number}.wav", 1.5, hertz=220 * (number + 1))
        notes = [(0.1 * i, 0.1 * i + 0.09, 40 + 7 * number + i) for i in range(12)]
        write_notes(home / "pairs" / f"{number}.mid", *notes)
    prepare(["pairs", "--source", str(home / "pairs"), "--data_dir", str(home / "data")])
    (home / "tiny.gin").write_text(TINY)
    finished = run(home, "straight")
    assert finished.returncode == 0, finished.stderr
    return home


def command(home, name, *arguments):
    flags = ["--gin_file", home / "tiny.gin", "--data_dir", home / "data"]
    return [*map(str, flags), "--run_dir", str(home / name), *map(str, arguments)]


def environment(home, devices=1):
    return {
        **os.environ,
        "SPECTRODIFF_CACHE": str(home / "cache"),
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
        **tiny.QUICK_TO_COMPILE,
    }


def run(home, name, *arguments, devices=1):
    program = [sys.executable, str(ROOT / "train.py"), *command(home, name, *arguments)]
    return subprocess.run(
        program, capture_output=True, text=True, check=False, env=environment(home, devices)
    )


def metrics(home, name):
    """Rows of the metrics, without the speed."""
    lines = [json.loads(line) for line in (home / name / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "examples_per_second"} for line in lines]


def parameters(home, name):
    folder = home / name / "checkpoints"
    from orbax.checkpoint import v1 as ocp

    parts = ocp.load_checkpointables(folder / str(STEPS))
    assert parts["data"] == {"batches": STEPS}
    return {part: jax.tree.leaves(parts[part]) for part in ("params", "opt_state", "ema")}


def assert_same_run(home, name):
    # Losses of all steps are equal only if parameters and batches are.
    assert metrics(home, name) == metrics(home, "straight")
    ours, theirs = parameters(home, name), parameters(home, "straight")
    for part, leaves in ours.items():
        assert leaves
        for leaf, wanted in zip(leaves, theirs[part], strict=True):
            np.testing.assert_array_equal(leaf, wanted)


def test_files_of_a_run(home):
    folder = home / "straight"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "checkpoints",
        "environment.json",
        "given.gin",
        "metrics.jsonl",
        "operative.gin",
        "run.json",
        "run.lock",
        "tensorboard",
    }
    assert "Training.batch_size = 4" in (folder / "given.gin").read_text()
    assert "Training.micro_batches = 1" in (folder / "operative.gin").read_text()
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["12", "16", "20"]
    lines = metrics(home, "straight")
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 21))
    scores = {line["step"]: line["evaluation/loss"] for line in lines if "evaluation/loss" in line}
    assert scores.keys() == {0, 10, 20}
    # 20 steps of 4 examples of 0.32 s.
    assert lines[-2]["audio_hours"] == pytest.approx(20 * 4 * 0.32 / 3600)


def test_a_run_can_be_rendered(home, golden):
    synth = sd.load(home / "straight", inverter="griffin-lim")
    song = synth.render(golden / "midi" / "overlaps.mid", steps=2)
    assert np.isfinite(song.audio).all()
    assert song.audio.std() > 0


def test_a_stopped_run_resumes_exactly(home):
    program = [sys.executable, str(ROOT / "train.py"), *command(home, "asked")]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment(home))
    for line in process.stderr:
        if line.startswith("step 6 of 20"):
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stderr.read()
    assert process.wait() == 0
    assert "saving, then stopping" in rest
    stopped = max(int(path.name) for path in (home / "asked" / "checkpoints").iterdir())
    assert f"stopped after step {stopped}" in rest
    assert 6 <= stopped < 20
    resumed = run(home, "asked")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming after step {stopped}" in resumed.stderr
    assert_same_run(home, "asked")


def test_two_processes_train_and_save_together_and_one_resumes(home):
    """The disk that they share is full for a while."""
    script = FULL_AT_STEP_4.format(root=str(ROOT))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    eight = ("--gin_bindings", "Training.steps = 8")
    flags = (*eight, "--coordinator_address", address, "--num_processes", "2", "--process_id")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *command(home, "pair", *flags, number)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(home, devices=2),
        )
        for number in (0, 1)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert "step 8 of 8" in errors[0]
    assert "step 8 of 8" not in errors[1]
    for error in errors:
        assert error.count("step 4: no checkpoint (File too large)") == 1, error
    assert [path.name for path in (home / "pair" / "checkpoints").iterdir()] == ["8"]
    environment_of_run = json.loads((home / "pair" / "environment.json").read_text())
    assert environment_of_run["processes"] == 2
    # Two processes train on the batches of one.
    for name in ("evaluation/loss", "loss"):
        together, alone = (
            {line["step"]: line[name] for line in metrics(home, run) if name in line}
            for run in ("pair", "straight")
        )
        for step in together.keys() & alone.keys():
            assert together[step] == pytest.approx(alone[step], rel=1e-3), (name, step)
        assert len(together.keys() & alone.keys()) >= (2 if name == "loss" else 1)
    resumed = run(home, "pair")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after step 8" in resumed.stderr
    assert parameters(home, "pair")["params"]
    assert metrics(home, "pair")[-1]["step"] == 20


def test_errors_are_one_line_and_leave_no_run(home):
    for arguments, devices, message in (
        (("--gin_bindings", "Training.step = 1"), 1, "did you mean 'steps'"),
        (("--gin_bindings", "Training.steps = 'x'"), 1, "expected a whole number, got 'x'"),
        ((), 3, "Training.batch_size: expected a multiple of 3, for 3 devices, got 4"),
        (("--data_dir", home / "nowhere"), 1, "the prepared corpus pairs/own in"),
        (("--init_from", home / "nothing"), 1, "nothing: expected a folder with a model"),
    ):
        failed = run(home, "failed", *arguments, devices=devices)
        assert failed.returncode == 1
        assert failed.stderr.count("\n") == 1, failed.stderr
        assert message in failed.stderr
    changed = run(home, "straight", "--gin_bindings", "Training.batch_size = 8")
    assert "Training.batch_size: expected 4, as in the run" in changed.stderr
    assert changed.returncode == 1


def test_a_diverging_run_stops_and_keeps_the_previous_checkpoint(home):
    # The length of Adam's first steps is the rate, and products of 1e30 overflow.
    bindings = ("Optimization.optimizer = 'adamw'", "Optimization.learning_rate = 1e30")
    more = ("Training.save_every = 1",)
    flags = [word for binding in (*bindings, *more) for word in ("--gin_bindings", binding)]
    failed = run(home, "diverged", *flags)
    assert failed.returncode == 1
    assert "error: step 2: expected a finite" in failed.stderr, failed.stderr
    assert [path.name for path in (home / "diverged" / "checkpoints").iterdir()] == ["1"]


def test_a_full_disk_is_one_line_and_keeps_the_previous_checkpoint(home):
    """The size of files is limited to less than a checkpoint."""
    flags = ["--gin_bindings", "Training.steps = 5", "--gin_bindings", "Training.save_every = 1"]
    run(home, "full", "--gin_bindings", "Training.steps = 1")
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000));"
        f"sys.path.insert(0, {str(ROOT)!r});"
        "from spectrodiff.commands import program, train; program.finish(program.run(train.main))"
    )
    failed = subprocess.run(
        [sys.executable, "-c", limited, *command(home, "full", *flags)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(home),
    )
    assert failed.returncode == 1, failed.stderr
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {home / 'full'}"), failed.stderr
    assert "Traceback" not in failed.stderr
    assert sd.load(home / "full", inverter="griffin-lim").config.width == 16


def test_a_cosine_run_keeps_its_length(home):
    def train(steps):
        bindings = ("Optimization.schedule = 'cosine'", f"Training.steps = {steps}")
        flags = [word for binding in bindings for word in ("--gin_bindings", binding)]
        return run(home, "cosine", *flags)

    assert train(1).returncode == 0
    for _ in range(2):
        # Twice, because the first error must not change the run.
        refused = train(2)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: Training.steps: expected 1, where the cosine")
        assert refused.stderr.count("\n") == 1
    assert [path.name for path in (home / "cosine" / "checkpoints").iterdir()] == ["1"]


def test_fine_tuning_from_a_run(home):
    bindings = ("Training.steps = 1", "Training.previews = 1")
    flags = [word for binding in bindings for word in ("--gin_bindings", binding)]
    tuned = run(home, "tuned", "--init-from", home / "straight", *flags, "--json")
    assert json.loads(tuned.stdout or "0") == {"run_dir": str(home / "tuned"), "step": 1}
    previews = sorted(path.name for path in (home / "tuned" / "previews").iterdir())
    assert previews == ["0000001_0.png", "0000001_0.wav"]
    start = [line for line in metrics(home, "tuned") if line["step"] == 0]
    end = [line for line in metrics(home, "straight") if line["step"] == 20]
    # It starts with the last weights of the other run.
    assert start[0]["evaluation/loss"] == pytest.approx(end[-1]["evaluation/loss"], rel=1e-5)
    with pytest.raises(CheckpointError):
        sd.load(home / "data")


def test_fine_tuning_with_more_velocities(home):
    """The rate is so small that the run saves its initial weights."""
    bindings = (
        "Training.steps = 1",
        "Tokenization.velocity_bins = 32",
        "Optimization.learning_rate = 1e-30",
        "Optimization.ema_decay = None",
    )
    flags = [word for binding in bindings for word in ("--gin_bindings", binding)]
    tuned = run(home, "louder", "--init_from", home / "straight", *flags)
    assert tuned.returncode == 0, tuned.stderr
    before, after = (
        open_checkpoint(home / name).params["note_encoder"]["embedding"]
        for name in ("straight", "louder")
    )
    # Special ids, shifts, pitches and velocity 0 stay. All velocities start as the old velocity 1.
    # The tie, programs and drums move by 31.
    first = 3 + 1001 + 128 + 1
    np.testing.assert_array_equal(after[:first], before[:first])
    np.testing.assert_array_equal(after[first : first + 32], np.tile(before[first], (32, 1)))
    others = slice(first + 1, first + 1 + 257), slice(first + 32, first + 32 + 257)
    np.testing.assert_array_equal(after[others[1]], before[others[0]])


def test_the_autoregressive_baseline_is_trained_and_rendered(home, golden):
    bindings = (
        "Training.task = 'autoregress'",
        "Network.context_frames = 0",
        "Training.steps = 2",
        "Training.previews = 1",
    )
    flags = [word for binding in bindings for word in ("--gin_bindings", binding)]
    done = run(home, "frames", *flags)
    assert done.returncode == 0, done.stderr
    assert (home / "frames" / "previews" / "0000002_0.png").is_file()
    synth = sd.load(home / "frames", inverter="griffin-lim")
    assert synth.config.kind == "autoregressive"
    assert np.isfinite(synth.render(golden / "midi" / "overlaps.mid").audio).all()


def test_the_configs_of_a_small_model(home, golden):
    """Both stages, with a single step and a smaller network; the result can be rendered."""
    (home / "small.gin").write_text(
        "CORPORA = ['pairs/own']\nSTEPS = 1\nBATCH_SIZE = 2\n"
        + "\n".join(line for line in TINY.splitlines() if line.startswith("Network."))
        + "\nNetwork.width = 32\nTraining.evaluation_examples = 2\nTraining.previews = 0\n"
        + "Data.workers = 0\n"
    )
    for stage, start in (("narrow_notes", []), ("narrow", ["--init_from", home / "narrow_notes"])):
        recipe = ["--gin_file", f"mini/{stage}.gin", "--gin_file", home / "small.gin"]
        done = run(home, stage, *recipe, *start)
        assert done.returncode == 0, done.stderr
        lines = metrics(home, stage)
        assert lines[-1]["step"] == 1
        assert np.isfinite(lines[-1]["evaluation/loss"])
    song = sd.load(home / "narrow", inverter="griffin-lim").render(
        golden / "midi" / "overlaps.mid", steps=2, sampler="dpmpp"
    )
    assert np.isfinite(song.audio).all()
    assert song.log_mel.shape[1] == 128

    # A student of it, which knows its own steps.
    recipe = ["--gin_file", "students/mini.gin", "--gin_file", home / "small.gin"]
    teacher = ["--gin_bindings", f"Distillation.teacher = '{home / 'narrow'}'"]
    done = run(home, "student", *recipe, *teacher)
    assert done.returncode == 0, done.stderr
    assert metrics(home, "student")[-1]["evaluation/sample_x0_error"] < 2
    student = sd.load(home / "student", inverter="griffin-lim")
    assert student.sampling.evaluations == 2
    assert np.isfinite(student.render(golden / "midi" / "overlaps.mid").audio).all()
