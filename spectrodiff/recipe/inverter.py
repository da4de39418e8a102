"""Training of a recipe's inverter."""

import concurrent.futures
import functools

import jax

from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.inverter.config import as_dict
from spectrodiff.inverter.files import GENERATOR, StoredInverter, load_inverter, save_inverter
from spectrodiff.recipe.device_songs import draw_windows
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import InverterStage, Recipe, RunOptions
from spectrodiff.recipe.stages import run_stage, with_ends
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.trainer import Program, StagePlan, Trainer
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params
from spectrodiff.training.tasks.invert import Invert

INVERTER = "inverter.safetensors"


class InverterTraining:
    """Training of the inverter, stage after stage.

    Args:
        recipe: stages.
        options: seed, inverter to start from, and folder.
        songs: to train on.
        compilers: threads that compile the programs.

    Raises:
        CheckpointError: if the inverter to start from is missing, damaged or of another size.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: RunOptions,
        songs: SongSupply,
        compilers: concurrent.futures.Executor,
    ) -> None:
        self._recipe, self._options, self._songs = recipe, options, songs
        self._path = options.out / INVERTER
        self._mesh = make_mesh(jax.devices()[:1])
        # Now, so that errors are found before hours of other training.
        self._given = self._read_given()
        self._trainers = [self._trainer(stage) for stage in recipe.inverter_stages]
        audio, _ = songs.on_device.shapes()
        self._steps = [
            compilers.submit(
                trainer.compile,
                functools.partial(
                    draw_windows,
                    batch_size=stage.batch_size,
                    frames=stage.inversion.window_frames,
                    tones=round(stage.tones * stage.batch_size),
                ),
                jax.eval_shape(functools.partial(self._initial, stage, trainer, None)),
                audio,
            )
            for stage, trainer in zip(recipe.inverter_stages, self._trainers, strict=True)
        ]

    def train(self, deadline: float, log: RecipeLog) -> None:
        """Runs all stages until the deadline; writes the inverter."""
        generator = self._given
        stages = with_ends(self._recipe.inverter_stages, deadline)
        for (stage, end), trainer, steps in zip(stages, self._trainers, self._steps, strict=True):
            state = self._initial(stage, trainer, generator)
            program = Program(steps, self._songs.on_device.audio, lambda: 1.0)
            state = run_stage(
                state,
                [program],
                StagePlan.until(stage.name, end, stage.optimization.learning_rate, "cosine"),
                self._songs,
                self._path,
                functools.partial(self._write, stage),
                log,
            )
            generator = _generator(state)

    def _read_given(self) -> Params | None:
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
        task = Invert(settings=stage.inversion)
        return Trainer(
            task.sizes,
            lambda params, examples, key, _: task.loss(params, examples, key),
            stage.optimization,
            self._mesh,
            self._recipe.steps_per_call,
            self._options.seed,
        )

    def _initial(
        self, stage: InverterStage, trainer: Trainer, generator: Params | None
    ) -> TrainState:
        """Returns the first state of a stage; `generator` is that of the stage before, if any."""
        params = Invert(settings=stage.inversion).init_params(self._options.seed)
        return trainer.initial(params if generator is None else {**params, GENERATOR: generator})

    def _write(self, stage: InverterStage, state: TrainState) -> None:
        """Writes the inverter in float16."""
        params = jax.device_get(_generator(state))
        save_inverter(StoredInverter(stage.inversion.config(), params), self._path, "float16")


def _generator(state: TrainState) -> Params:
    assert state.ema is not None
    generator: Params = state.ema[GENERATOR]
    return generator
