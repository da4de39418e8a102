"""Training of a recipe's synthesizer."""

import concurrent.futures
import functools
import shutil

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import unwritable
from spectrodiff.core.parallel import make_mesh
from spectrodiff.recipe.device_songs import StoredAudio, StoredExamples, draw_examples
from spectrodiff.recipe.growth import grow
from spectrodiff.recipe.held_out import compile_notes_gap, held_out_examples
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import Recipe, RunOptions, Stage
from spectrodiff.recipe.stages import run_stage, with_ends
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.trainer import DrawBatch, Program, StagePlan, Trainer
from spectrodiff.synthesis.parameters import compute_type
from spectrodiff.training.examples import Batch, Examples
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Scores
from spectrodiff.training.tasks.denoise import Conditions, Denoise

Data = tuple[StoredAudio, StoredExamples, Conditions]

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
        self._recipe, self._options, self._songs = recipe, options, songs
        self._folder = options.out / MODEL
        self._task = Denoise(
            config=recipe.config,
            dtype=compute_type(recipe.precision),
            settings=recipe.stages[-1].diffusion,
            initialization=recipe.network.initialization,
        )
        # Before anything is compiled, which takes minutes.
        given = self._read_given()
        trainer = Trainer(
            self._task.config,
            self._loss,
            recipe.optimization,
            make_mesh(jax.devices()[:1]),
            recipe.steps_per_call,
            options.seed,
        )
        state = jax.eval_shape(lambda: trainer.initial(self._task.init_params(0)))
        audio, examples = songs.on_device.shapes()
        conditions = _conditions(recipe.stages[0])
        # Stages share programs: their conditions are arguments. The longest examples, which are
        # few, come last.
        self._steps = [
            compilers.submit(
                trainer.compile, self._draw(bucket), state, (audio, shapes, conditions)
            )
            for bucket, shapes in enumerate(examples)
        ]
        longest = recipe.buckets[-1]
        self._notes_gap = compilers.submit(compile_notes_gap, self._task, state.params, longest)
        self._state = trainer.initial(self._initial_params(given))

    def wait(self) -> None:
        """Waits until one program is compiled."""
        concurrent.futures.wait(self._steps, return_when=concurrent.futures.FIRST_COMPLETED)

    def train(self, deadline: float, log: RecipeLog) -> None:
        """Runs all stages until the deadline; writes the model and logs its held-out errors."""
        rate = self._recipe.optimization.learning_rate
        for stage, end in with_ends(self._recipe.stages, deadline):
            programs = [
                Program(
                    steps,
                    functools.partial(self._data, bucket, _conditions(stage)),
                    functools.partial(self._weight, bucket),
                )
                for bucket, steps in enumerate(self._steps)
            ]
            plan = StagePlan.until(stage.name, end, rate, stage.schedule)
            self._state = run_stage(
                self._state, programs, plan, self._songs, self._folder, self._write, log
            )
            errors = self._held_out_errors()
            log.note(f"{stage.name}: held-out x0 errors {errors}", stage=stage.name, **errors)

    def _held_out_errors(self) -> dict[str, float]:
        songs, tokens = self._songs.held_out, self._recipe.buckets[-1]
        examples = held_out_examples(songs, self._task.config, tokens)
        assert self._state.ema is not None
        errors = self._notes_gap.result()(self._state.ema, examples)
        return {name: float(value) for name, value in errors.items()}

    def _loss(self, params: Params, examples: Examples, key: jax.Array, data: Data) -> Scores:
        return self._task.loss_under(params, examples, key, data[2])

    def _read_given(self) -> Checkpoint | None:
        name = self._options.init_from
        if name is None:
            return None
        given = open_checkpoint(name)
        for setting in ("prediction", "schedule"):
            ours = getattr(self._task.settings, setting)
            theirs = getattr(given, setting)
            if ours != theirs:
                raise CheckpointError(name, f"a network of {setting} {ours!r}", repr(theirs))
        return given

    def _initial_params(self, given: Checkpoint | None) -> Params:
        # The host compiles these many small operations faster than an accelerator.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            params: Params = jax.device_get(self._task.init_params(self._options.seed))
        if given is None:
            return params
        recipe, name = self._recipe, str(self._options.init_from)
        return grow(name, given, params, recipe.config, recipe.tokenization.vocabulary)

    def _draw(self, bucket: int) -> DrawBatch:
        config, batch_size = self._recipe.config, self._recipe.batch_sizes[bucket]

        def draw(data: Data, key: jax.Array) -> Batch:
            audio, examples, _ = data
            frames = config.context_frames, config.target_frames
            return draw_examples(audio, examples, key, batch_size, *frames)

        return draw

    def _data(self, bucket: int, conditions: Conditions) -> Data:
        songs = self._songs.on_device
        return songs.audio(), songs.examples(bucket), conditions

    def _weight(self, bucket: int) -> float:
        """Returns the relative frequency with which all examples are used equally often."""
        return self._songs.on_device.num_examples[bucket] / self._recipe.batch_sizes[bucket]

    def _write(self, state: TrainState) -> None:
        """Writes the model in float16, in place of an earlier one."""
        checkpoint = Checkpoint(
            config=self._recipe.config,
            params=jax.device_get(state.ema),
            prediction=self._task.settings.prediction,
            schedule=self._task.settings.schedule,
            tokenization=self._recipe.tokenization,
            sampling=self._recipe.sampling,
        )
        folder = self._folder
        fresh, old = folder.with_name(MODEL + ".new"), folder.with_name(MODEL + ".old")
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
