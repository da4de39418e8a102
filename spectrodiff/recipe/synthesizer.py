"""Training of a recipe's synthesizer."""

import concurrent.futures
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import unwritable
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.recipe.device_songs import StoredAudio, StoredExamples, draw_examples
from spectrodiff.recipe.growth import grow
from spectrodiff.recipe.held_out import compile_notes_gap, held_out_examples
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import Recipe, RunOptions, Stage
from spectrodiff.recipe.stages import run_stage, with_ends
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.trainer import Program, StagePlan, Steps, Trainer
from spectrodiff.synthesis.parameters import compute_type
from spectrodiff.training.examples import Batch, Examples
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Scores
from spectrodiff.training.tasks.denoise import Conditions, Denoise

# Audio, examples, and what else the loss needs: conditions, or the parameters of a teacher.
Data = tuple[StoredAudio, StoredExamples, Any]

MODEL = "model"


class SynthesizerTraining:
    """Training of the synthesizer, stage after stage.

    Args:
        recipe: networks, batches and stages.
        options: seed, model to start from, and folder.
        songs: to train on.
        compilers: threads that compile the programs.

    Raises:
        CheckpointError: if the model to start from cannot be read, or does not fit.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: RunOptions,
        songs: SongSupply,
        compilers: concurrent.futures.Executor,
    ) -> None:
        self._recipe, self._songs = recipe, songs
        self._folder = options.out / MODEL
        self._task = denoising_task(recipe)
        # Before anything is compiled, which takes minutes.
        given = read_given(recipe, options)
        trainer = Trainer(
            self._task.config,
            self._loss,
            recipe.optimization,
            make_mesh(jax.devices()[:1]),
            recipe.steps_per_call,
            options.seed,
        )
        state = jax.eval_shape(lambda: trainer.initial(self._task.init_params(0)))
        # Stages share programs: their conditions are arguments.
        conditions = _conditions(recipe.stages[0])
        self._steps = compile_buckets(trainer, recipe, state, conditions, songs, compilers)
        longest = recipe.buckets[-1]
        self._notes_gap = compilers.submit(compile_notes_gap, self._task, state.params, longest)
        self._state = trainer.initial(initial_params(recipe, options, given))

    def wait(self) -> None:
        """Waits until one program is compiled."""
        concurrent.futures.wait(self._steps, return_when=concurrent.futures.FIRST_COMPLETED)

    def train(self, deadline: float, log: RecipeLog) -> Params:
        """Runs all stages until the deadline; writes the model and logs its held-out errors.

        Args:
            deadline: end of the last stage, on the monotonic clock.
            log: of the run.

        Returns:
            The parameters that are written.
        """
        rate = self._recipe.optimization.learning_rate
        for stage, end in with_ends(self._recipe.stages, deadline):
            self._state = run_stage(
                self._state,
                programs(self._steps, self._recipe, _conditions(stage), self._songs),
                StagePlan.until(stage.name, end, rate, stage.schedule),
                self._songs,
                self._folder,
                self._write,
                log,
            )
            errors = self._held_out_errors()
            own, others = (errors[f"x0_error_{notes}_notes"] for notes in ("own", "other"))
            text = f"mean error of x0 in held-out songs {own:.4f}, with other notes {others:.4f}"
            log.note(f"{stage.name}: {text}", stage=stage.name, **errors)
        assert self._state.ema is not None
        return self._state.ema

    def _held_out_errors(self) -> dict[str, float]:
        songs, tokens = self._songs.held_out, self._recipe.buckets[-1]
        examples = held_out_examples(songs, self._task.config, tokens)
        assert self._state.ema is not None
        errors = self._notes_gap.result()(self._state.ema, examples)
        return {name: float(value) for name, value in errors.items()}

    def _loss(self, params: Params, examples: Examples, key: jax.Array, data: Data) -> Scores:
        return self._task.loss_under(params, examples, key, data[2])

    def _write(self, state: TrainState) -> None:
        assert state.ema is not None
        write_model(self._recipe, state.ema, self._recipe.sampling, self._folder)


def denoising_task(recipe: Recipe) -> Denoise:
    """Returns the task of the synthesizer; conditions are those of the last stage."""
    return Denoise(
        config=recipe.config,
        dtype=compute_type(recipe.precision),
        settings=recipe.stages[-1].diffusion,
        initialization=recipe.network.initialization,
    )


def read_given(recipe: Recipe, options: RunOptions) -> Checkpoint | None:
    """Reads the model to start from, if there is one.

    Raises:
        CheckpointError: if it cannot be read, or its network predicts something else.
    """
    name = options.init_from
    if name is None:
        return None
    given = open_checkpoint(name)
    for setting in ("prediction", "schedule"):
        ours = getattr(recipe.stages[-1].diffusion, setting)
        theirs = getattr(given, setting)
        if ours != theirs:
            raise CheckpointError(name, f"a network of {setting} {ours!r}", repr(theirs))
    return given


def initial_params(recipe: Recipe, options: RunOptions, given: Checkpoint | None) -> Params:
    """Returns random parameters, or those of a given model, on the host.

    Raises:
        CheckpointError: if the given model does not fit.
    """
    # The host compiles these many small operations faster than an accelerator.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        params: Params = jax.device_get(denoising_task(recipe).init_params(options.seed))
    if given is None:
        return params
    name = str(options.init_from)
    return grow(name, given, params, recipe.config, recipe.tokenization.vocabulary)


def compile_buckets(
    trainer: Trainer,
    recipe: Recipe,
    state: TrainState,
    besides: Any,
    songs: SongSupply,
    compilers: concurrent.futures.Executor,
) -> list[concurrent.futures.Future[Steps]]:
    """Starts to compile one program for each bucket; the longest examples, which are few, last.

    Args:
        trainer: of a network with the recipe's examples; its loss gets `Data`.
        recipe: buckets and batches.
        state: a state, or its shapes.
        besides: the last element of `Data`, or its shapes.
        songs: to train on.
        compilers: threads that compile.
    """
    audio, examples = songs.on_device.shapes()
    frames = recipe.config.context_frames, recipe.config.target_frames

    def draw(batch_size: int, data: Data, key: jax.Array) -> Batch:
        return draw_examples(data[0], data[1], key, batch_size, *frames)

    return [
        compilers.submit(
            trainer.compile, functools.partial(draw, size), state, (audio, shapes, besides)
        )
        for size, shapes in zip(recipe.batch_sizes, examples, strict=True)
    ]


def programs(
    steps: Sequence[concurrent.futures.Future[Steps]],
    recipe: Recipe,
    besides: Any,
    songs: SongSupply,
) -> list[Program]:
    """Returns the programs of all buckets, called so often that all examples are used equally.

    Args:
        steps: those of `compile_buckets`.
        recipe: batches.
        besides: the last element of `Data`.
        songs: to train on.
    """

    def data(bucket: int) -> Data:
        return songs.on_device.audio(), songs.on_device.examples(bucket), besides

    def weight(bucket: int) -> float:
        return songs.on_device.num_examples[bucket] / recipe.batch_sizes[bucket]

    return [
        Program(compiled, functools.partial(data, bucket), functools.partial(weight, bucket))
        for bucket, compiled in enumerate(steps)
    ]


def write_model(recipe: Recipe, params: Params, sampling: Sampling, folder: Path) -> None:
    """Writes a model in float16, in place of an earlier one.

    Args:
        recipe: network, tokenization, prediction and schedule.
        params: of the network.
        sampling: settings that the model will be used with.
        folder: to write; replaced as a whole.
    """
    diffusion = recipe.stages[-1].diffusion
    checkpoint = Checkpoint(
        config=recipe.config,
        params=jax.device_get(params),
        prediction=diffusion.prediction,
        schedule=diffusion.schedule,
        tokenization=recipe.tokenization,
        sampling=sampling,
    )
    fresh, old = (folder.with_name(folder.name + end) for end in (".new", ".old"))
    shutil.rmtree(fresh, ignore_errors=True)
    save_model(checkpoint, fresh, "float16")
    try:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    shutil.rmtree(old, ignore_errors=True)


def _conditions(stage: Stage) -> Conditions:
    """Returns the conditions of a stage as arrays, arguments of a program."""
    return Conditions(*(jnp.float32(value) for value in Conditions.of(stage.diffusion)))
