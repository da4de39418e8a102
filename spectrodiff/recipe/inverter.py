"""The inverter's training in a recipe, stage after stage."""

import concurrent.futures
import functools
import time

import jax

from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.inverter.config import as_dict
from spectrodiff.inverter.files import GENERATOR, StoredInverter, load_inverter, save_inverter
from spectrodiff.recipe.options import Log, Options, Spare
from spectrodiff.recipe.pantry import Pantry
from spectrodiff.recipe.settings import InverterStage, Recipe
from spectrodiff.recipe.store import draw_windows
from spectrodiff.recipe.trainer import Kind, Trainer, train_until
from spectrodiff.training.state import Params, TrainState
from spectrodiff.training.tasks.invert import Invert

INVERTER = "inverter.safetensors"


class InverterTraining:
    """Training of the inverter, stage after stage.

    Args:
        recipe: stages.
        options: seed, and what to begin with.
        pantry: what to train on.
        compilers: threads in which the programs are compiled.

    Raises:
        CheckpointError: if the inverter to begin with is missing, damaged or of another kind.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: Options,
        pantry: Pantry,
        compilers: concurrent.futures.Executor,
    ) -> None:
        self._recipe, self._options, self._pantry = recipe, options, pantry
        self._mesh = make_mesh(jax.devices()[:1])
        # Read now: what is wrong with it is found before hours of other training.
        self._first = self._begin()
        self._trainers = [self._trainer(stage) for stage in recipe.inverter_stages]
        sound = pantry.store.shapes()[0]
        self._calls = [
            compilers.submit(
                trainer.compile,
                functools.partial(
                    draw_windows,
                    batch_size=stage.batch_size,
                    frames=stage.inversion.window_frames,
                    tones=round(stage.tones * stage.batch_size),
                ),
                jax.eval_shape(functools.partial(self._initial, stage, trainer, None)),
                sound,
            )
            for stage, trainer in zip(recipe.inverter_stages, self._trainers, strict=True)
        ]

    def train(self, deadline: float, log: Log) -> None:
        """Runs all stages until the deadline; writes the inverter after each, and in between."""
        generator = self._first
        begin, end = time.monotonic(), 0.0
        for stage, trainer, call in zip(
            self._recipe.inverter_stages, self._trainers, self._calls, strict=True
        ):
            state = self._initial(stage, trainer, generator)
            kind = Kind(call, self._pantry.store.sound, lambda: 1.0)
            spare = Spare(functools.partial(self._save, stage))
            end += stage.share * (deadline - begin)

            def between(state: TrainState, spare: Spare = spare) -> None:
                self._pantry.refill()
                spare(state)

            state = train_until(
                state,
                [kind],
                stage.name,
                stage.optimization.learning_rate,
                "cosine",
                begin + end - time.monotonic(),
                between,
                log,
            )
            self._save(stage, state)
            assert state.ema is not None
            generator = state.ema[GENERATOR]

    def _begin(self) -> Params | None:
        path = self._options.init_inverter
        if path is None:
            return None
        stored, wanted = load_inverter(path), self._recipe.inverter_stages[0].inversion.config()
        if stored.config != wanted:
            raise CheckpointError(
                path, f"an inverter of {as_dict(wanted)}", f"{as_dict(stored.config)}"
            )
        return stored.params

    def _trainer(self, stage: InverterStage) -> Trainer:
        task = Invert(stage.inversion)
        return Trainer(
            task.sizes,
            lambda params, segment, key, _: task.loss(params, segment, key),
            stage.optimization,
            self._mesh,
            self._recipe.steps_per_call,
            self._options.seed,
        )

    def _initial(
        self, stage: InverterStage, trainer: Trainer, generator: Params | None
    ) -> TrainState:
        params = Invert(stage.inversion).init_params(self._options.seed)
        return trainer.initial(params if generator is None else {**params, GENERATOR: generator})

    def _save(self, stage: InverterStage, state: TrainState) -> None:
        """Writes the inverter; one without a step does not replace what is there."""
        path = self._options.out / INVERTER
        if path.exists() and not int(state.step):
            return
        assert state.ema is not None
        params = jax.device_get(state.ema[GENERATOR])
        stored = StoredInverter(stage.inversion.config(), params)
        save_inverter(stored, path, "float16")
