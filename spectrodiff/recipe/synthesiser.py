"""The synthesiser's training in a recipe, stage after stage."""

import concurrent.futures
import functools
import shutil
import time

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints import open_checkpoint
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import unwritable
from spectrodiff.core.parallel import make_mesh
from spectrodiff.recipe.growth import grow
from spectrodiff.recipe.held_out import compile_gap, held_out_examples
from spectrodiff.recipe.options import Log, Options, Spare
from spectrodiff.recipe.pantry import Pantry
from spectrodiff.recipe.settings import Recipe, Stage
from spectrodiff.recipe.store import Sound, StoredExamples, draw_examples
from spectrodiff.recipe.trainer import Call, Draw, Kind, Trainer, train_until
from spectrodiff.synthesis.parameters import compute_type
from spectrodiff.training.examples import Batch, Examples
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Scores
from spectrodiff.training.tasks.denoise import Conditions, Denoise

Data = tuple[Sound, StoredExamples, Conditions]

MODEL = "model"


class Synthesiser:
    """Training of the synthesiser, stage after stage.

    Args:
        recipe: sizes and stages.
        options: seed, and what to begin with.
        pantry: what to train on.
        compilers: threads in which the programs are compiled.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: Options,
        pantry: Pantry,
        compilers: concurrent.futures.Executor,
    ) -> None:
        self._recipe, self._options, self._pantry = recipe, options, pantry
        given = self._given()
        self._mesh = make_mesh(jax.devices()[:1])
        self._task = Denoise(
            recipe.config,
            recipe.stages[-1].diffusion,
            compute_type(recipe.precision),
            initialization=recipe.network.initialization,
        )
        trainer = Trainer(
            self._task.config,
            self._loss,
            recipe.optimization,
            self._mesh,
            recipe.steps_per_call,
            options.seed,
        )
        state = jax.eval_shape(lambda: trainer.initial(self._task.init_params(0)))
        sound, examples = pantry.store.shapes()
        conditions = _conditions(recipe.stages[0])
        # Stages share their programs: what differs between them is handed in. The longest
        # examples, of which there are few, come last.
        self._calls: list[concurrent.futures.Future[Call]] = [
            compilers.submit(
                trainer.compile, self._draw(bucket), state, (sound, shapes, conditions)
            )
            for bucket, shapes in enumerate(examples)
        ]
        self._gap = compilers.submit(compile_gap, self._task, state.params, recipe.buckets[-1])
        self._state = trainer.initial(self._begin(given))

    def wait(self) -> None:
        """Waits until there is a program to begin with."""
        concurrent.futures.wait(self._calls, return_when=concurrent.futures.FIRST_COMPLETED)

    def train(self, seconds: float, log: Log) -> None:
        """Runs all stages in the time given; writes the model after each, and in between."""
        state, spare = self._state, Spare(self._save)
        begin, end = time.monotonic(), 0.0

        def between(state: TrainState) -> None:
            self._pantry.refill()
            spare(state)

        for stage in self._recipe.stages:
            end += stage.share * seconds
            kinds = [
                Kind(
                    call,
                    functools.partial(self._data, bucket, _conditions(stage)),
                    functools.partial(self._weight, bucket),
                )
                for bucket, call in enumerate(self._calls)
            ]
            state = train_until(
                state,
                kinds,
                stage.name,
                self._recipe.optimization.learning_rate,
                stage.schedule,
                begin + end - time.monotonic(),
                between,
                log,
            )
            self._save(state)
            gap = self._measure(state)
            log.note(f"{stage.name}: held-out x0 errors {gap}", stage=stage.name, **gap)

    def _measure(self, state: TrainState) -> dict[str, float]:
        """Errors on held-out pieces, see `held_out.compile_gap`."""
        assert state.ema is not None
        pieces, tokens = self._pantry.held_out, self._recipe.buckets[-1]
        examples = held_out_examples(pieces, self._task.config, tokens)
        found = self._gap.result()(state.ema, examples)
        return {name: float(value) for name, value in found.items()}

    def _loss(self, params: Params, examples: Examples, key: jax.Array, data: Data) -> Scores:
        return self._task.loss_under(params, examples, key, data[2])

    def _given(self) -> Checkpoint | None:
        """The model to begin with."""
        name = self._options.init_from
        if name is None:
            return None
        given = open_checkpoint(name)
        for setting in ("prediction", "schedule"):
            ours = getattr(self._recipe.stages[-1].diffusion, setting)
            theirs = getattr(given, setting)
            if ours != theirs:
                raise CheckpointError(name, f"a network of {setting} {ours!r}", repr(theirs))
        return given

    def _begin(self, given: Checkpoint | None) -> Params:
        # The host compiles these many small operations sooner than an accelerator.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            params: Params = jax.device_get(self._task.init_params(self._options.seed))
        if given is None:
            return params
        recipe, name = self._recipe, str(self._options.init_from)
        return grow(name, given, params, recipe.config, recipe.tokenization.velocity_bins)

    def _draw(self, bucket: int) -> Draw:
        recipe = self._recipe
        config, batch_size = recipe.config, recipe.batch_sizes[bucket]

        def draw(data: Data, key: jax.Array) -> Batch:
            sound, examples, _ = data
            frames = config.context_frames, config.target_frames
            return draw_examples(sound, examples, key, batch_size, *frames)

        return draw

    def _data(self, bucket: int, conditions: Conditions) -> Data:
        store = self._pantry.store
        return store.sound(), store.examples(bucket), conditions

    def _weight(self, bucket: int) -> float:
        """Calls that are due, so that all examples are drawn equally often."""
        return self._pantry.store.num_examples[bucket] / self._recipe.batch_sizes[bucket]

    def _save(self, state: TrainState) -> None:
        """Writes the model; one without a step does not replace what is there."""
        folder = self._options.out / MODEL
        if folder.exists() and not int(state.step):
            return
        diffusion = self._recipe.stages[-1].diffusion
        assert state.ema is not None
        checkpoint = Checkpoint(
            config=self._recipe.config,
            params=jax.device_get(state.ema),
            prediction=diffusion.prediction,
            schedule=diffusion.schedule,
            tokenization=self._recipe.tokenization,
            sampling=self._recipe.sampling,
        )
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
    """Conditions of a stage as arrays, so that another stage needs no other program."""
    return Conditions(*(jnp.float32(value) for value in Conditions.of(stage.diffusion)))
