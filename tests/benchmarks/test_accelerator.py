"""The benchmark for accelerators, at tiny sizes on a CPU."""

import dataclasses
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.models.config import SIZES
from spectrodiff.models.definition import define, init_params
from spectrodiff.models.denoiser import Denoiser

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUN = ("ceilings", "sampling", "training", "port", "determinism", "loader", "sound")


@pytest.fixture(scope="module")
def modules():
    """Imports the modules of the benchmark."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import accelerator
        import counting
        from on_device import plan, report, results, runner, scale

        yield {
            "accelerator": accelerator,
            "counting": counting,
            "plan": plan,
            "report": report,
            "results": results,
            "runner": runner,
            "scale": scale,
        }
    for name, module in list(sys.modules.items()):
        if name not in before and str(BENCHMARKS) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def small(modules):
    """Tiny sizes with one batch size, because compiling a program takes seconds."""
    return dataclasses.replace(modules["scale"].TINY, first_batches=(1,), later_batches=())


@pytest.fixture(scope="module")
def out(modules, small, tmp_path_factory):
    """The folder of the results of a run."""
    folder = tmp_path_factory.mktemp("results")
    modules["plan"].run(RUN, small, folder, 600.0, time.monotonic(), "no/such/python")
    return folder


def row_of(results, group, **settings):
    """Returns the only row with some settings."""
    (row,) = [
        row
        for row in results.rows
        if row.group == group
        and all(getattr(row.settings, name) == value for name, value in settings.items())
    ]
    return row


def test_every_row_is_planned(modules, tmp_path):
    scale, groups = modules["scale"].FULL, modules["accelerator"].GROUPS
    planned = modules["plan"].plan(groups, scale, object(), tmp_path)
    counts = dict.fromkeys(groups, 0)
    for group in planned:
        counts[group.name] += len(group.jobs)
    assert counts == {
        "ceilings": 3,  # two precisions and memory
        "sampling": 8,  # two sizes, two batch sizes, many steps and few
        "training": 2,
        "port": 4,
        "determinism": 1,
        "loader": 2,
        "sampling-float32": 8,
        "larger-batches": 2,
        "batch-4": 8,
        "sound": 4,
        "port-compiled": 4,
    }
    order = [
        job.row.settings for group in planned for job in group.jobs if group.name == "sampling"
    ]
    assert [(row.sampler, row.size, row.batch) for row in order[:4]] == [
        ("ddpm", "base", 1),
        ("ddpm", "base", 16),
        ("ddpm", "small", 1),
        ("ddpm", "small", 16),
    ]


def test_all_rows_of_a_run_are_written(modules, out):
    results = modules["results"].Results.read(out)
    assert [row.group for row in results.rows] == [
        *["ceilings"] * 3,
        *["sampling"] * 2,
        "training",
        *["port"] * 2,
        "determinism",
        "loader",
        *["sound"] * 4,
    ]
    for row in results.rows:
        if row.group == "port":
            assert row.status == "skipped"
            assert "no/such/python" in row.note
        else:
            assert (row.status, row.measured is None) == ("measured", False)
    # Results are written as they are read.
    other = out / "again"
    results.write(other)
    assert (other / "results.json").read_text() == (out / "results.json").read_text()
    report = (out / "accelerator.md").read_text()
    for title in ("Ceilings", "Sampling", "Training", "Determinism", "Not measured"):
        assert f"## {title}\n" in report
    assert "float32 rows are float32 here" in report  # on a CPU
    assert {path.suffix for path in out.iterdir() if path.is_file()} == {".json", ".md", ".png"}


def test_two_trainings_are_bitwise_equal(modules, out):
    row = row_of(modules["results"].Results.read(out), "determinism")
    assert row.measured.equal
    assert row.measured.largest_parameter_difference == 0
    assert np.isfinite(row.measured.first_loss)
    # The parameters have changed.
    assert row.measured.first_loss != row.measured.last_loss


# The network of these runs: width D = heads' width = 64, mlp 128, 2 layers per stack, 128 mel bins,
# 16 target and 16 context frames, notes padded to 64. A product of [m, k] and [k, n] is 2 m k n.
ENCODERS = (
    # Projections, attention and feed-forward of the notes; the same of the context, and its input.
    2 * (4 * 2 * 64 * 64 * 64 + 2 * 2 * 64 * 64 * 64 + 3 * 2 * 64 * 64 * 128)
    + 2 * (4 * 2 * 16 * 64 * 64 + 2 * 2 * 16 * 16 * 64 + 3 * 2 * 16 * 64 * 128)
    + 2 * 16 * 128 * 64
)
CACHED = 2 * 2 * 2 * 80 * 64 * 64  # keys and values of notes and context in both layers
CROSS = 2 * 2 * 16 * 64 * 64 + 2 * 2 * 16 * 80 * 64  # of one layer and row
OTHERS = 4 * 2 * 16 * 64 * 64 + 2 * 2 * 16 * 16 * 64 + 3 * 2 * 16 * 64 * 128
EDGES = 2 * 16 * 128 * 64 + 2 * 16 * 64 * 128
FILM = 2 * 64 * 256 + 2 * 256 * 256 + 2 * 2 * 2 * 256 * 128  # time embedding, and two per layer


def test_operations_of_sampling(modules, out):
    results = modules["results"].Results.read(out)
    # Only one of the two guidance branches attends to notes and context.
    step = 2 * (2 * OTHERS + EDGES) + 2 * CROSS
    for sampler, steps in (("ddpm", 30), ("dpmpp", 3)):
        row = row_of(results, "sampling", sampler=sampler)
        assert row.settings.steps == steps
        assert row.measured.flops == ENCODERS + CACHED + steps * step


def test_operations_of_training(modules, out):
    row = row_of(modules["results"].Results.read(out), "training")
    forward = ENCODERS + CACHED + FILM + 2 * (OTHERS + CROSS) + EDGES
    assert row.measured.flops_per_example == 3 * forward
    speed = row.measured.examples_per_second
    assert row.measured.flops_per_second == pytest.approx(3 * forward * speed)


def test_a_loop_counts_with_its_length(modules):
    def five_products(x):
        return jax.lax.scan(lambda x, _: (x @ x, None), x, length=5)[0]

    counted = modules["counting"].count_flops(jax.make_jaxpr(five_products)(jnp.ones((4, 4))))
    assert counted == 5 * 2 * 4**3


def test_operations_of_a_guided_step_are_those_of_its_program(modules):
    config = dataclasses.replace(SIZES["tiny"], target_frames=24, context_frames=40)
    network = define(Denoiser, config)
    z, time = jnp.zeros((6, 24, 128)), jnp.zeros(1)

    def step(params, tokens, context, mask):
        model = network.merge(params)
        memory = model.decoder.memory(model.encode(tokens, context, mask))
        return memory, model.decoder.films(time)

    inputs = (jnp.ones((3, 64), jnp.int32), jnp.zeros((3, 40, 128)), jnp.ones((3, 40), bool))
    params = init_params(Denoiser, config, 0)
    memory, films = jax.eval_shape(step, params, *inputs)
    jaxpr = jax.make_jaxpr(lambda params, *rest: network.merge(params).decoder(*rest))(
        params, z, films, memory
    )
    counting = modules["counting"]
    assert counting.guided_step_flops(config, 3, 64) == counting.count_flops(jaxpr)


def test_bytes_of_a_step(modules, small):
    counting, config = modules["counting"], small.config("tiny")
    matrices = 2 * (6 * 64 * 64 + 3 * 64 * 128) + 128 * 64
    cached = 3 * 2 * 2 * 80 * 64
    activations = 2 * 2 * (2 * 3) * 16 * 64
    noisy = 4 * 3 * 16 * 128
    counted = counting.guided_step_bytes(config, batch=3, note_tokens=64, item_bytes=2)
    assert counted == 2 * (matrices + cached + activations) + 4 * (noisy + 64 * 128)


def test_floors_follow_from_the_ceilings(modules, out):
    module = modules["results"]
    results = module.Results.read(out)
    for row in results.of("ceiling"):
        row.measured.per_second = {"matrices": 1e9, "memory": 1e6}[row.settings.what]
    row = row_of(results, "sampling", sampler="ddpm")
    found = row.measured
    found.flops, found.traffic_bytes, found.seconds = 3e9, 6e6, 8.0
    training = row_of(results, "training").measured
    training.flops_per_second = 2.5e8
    port = row_of(results, "port", precision="bfloat16")
    port.measured = module.Port(step_seconds=6.0, repeats=1, peak_bytes=None)
    found.step_seconds = 1.5
    module.relate(results)
    assert (found.flops_floor_seconds, found.bytes_floor_seconds) == (3.0, 6.0)
    assert found.share_of_floor == 0.75
    assert training.utilization == 0.25
    assert port.measured.ratio == 4.0
    # Without ceilings, there are no floors.
    for row in results.of("ceiling"):
        row.measured = None
    module.relate(results)
    assert found.flops_floor_seconds is None
    assert found.share_of_floor is None


@pytest.fixture
def fake(modules):
    """Returns a function that makes results and a group of rows, and a measurement."""
    module = modules["results"]

    def make(*measures, seconds=0.0):
        rows = [
            module.Row("ceilings", "ceiling", module.CeilingSettings("matrices", "float32", size))
            for size in range(len(measures))
        ]
        machine = module.Machine("some device", "cpu", "", None, 1, {}, "now", 1.0)
        jobs = [
            modules["runner"].Job(row, measure, seconds=seconds)
            for row, measure in zip(rows, measures, strict=True)
        ]
        return module.Results(machine, rows), [modules["runner"].Group("ceilings", jobs)]

    def measure(prepared, allowance):
        return module.Ceiling(1.0, 1.0, 1)

    return make, measure


def stop(prepared, allowance):
    raise KeyboardInterrupt


def fail(prepared, allowance):
    raise RuntimeError("no more memory")


def test_an_interrupted_run_keeps_its_results(modules, fake, tmp_path):
    make, measure = fake
    results, groups = make(measure, measure, stop, measure)
    with pytest.raises(KeyboardInterrupt):
        modules["runner"].Runner(results, 600.0, time.monotonic(), tmp_path).run(groups)
    read = modules["results"].Results.read(tmp_path)
    assert [row.status for row in read.rows] == ["measured", "measured", "planned", "planned"]
    assert read.rows[1].measured == modules["results"].Ceiling(1.0, 1.0, 1)
    report = (tmp_path / "accelerator.md").read_text()
    assert report.count("\n| matrices |") == 2
    assert report.count(": planned") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "accelerator.md"}


def test_a_failed_row_has_a_note_and_the_others_are_measured(modules, fake, tmp_path):
    make, measure = fake
    results, groups = make(fail, measure)
    modules["runner"].Runner(results, 600.0, time.monotonic(), tmp_path).run(groups)
    failed, measured = modules["results"].Results.read(tmp_path).rows
    assert (failed.status, failed.note) == ("failed", "RuntimeError: no more memory")
    assert measured.status == "measured"


def test_rows_without_time_are_skipped(modules, fake, tmp_path):
    make, measure = fake
    results, groups = make(measure, seconds=1e4)
    modules["runner"].Runner(results, 600.0, time.monotonic(), tmp_path).run(groups)
    (row,) = modules["results"].Results.read(tmp_path).rows
    assert row.status == "skipped"
    assert "10000 s" in row.note


def test_full_sizes_need_an_accelerator(modules, tmp_path):
    scale = modules["scale"].FULL
    with pytest.raises(ConfigError, match="an accelerator, or --tiny"):
        modules["plan"].run(RUN, scale, tmp_path, 600.0, time.monotonic(), "python")
