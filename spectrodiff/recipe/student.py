"""Training of a recipe's student: a synthesizer that needs few steps and no guidance."""

import concurrent.futures

import jax

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import Recipe, RunOptions
from spectrodiff.recipe.stages import run_stage
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.synthesizer import (
    Data,
    compile_buckets,
    denoising_task,
    programs,
    read_given,
    write_model,
)
from spectrodiff.recipe.trainer import StagePlan, Trainer
from spectrodiff.synthesis.parameters import compute_type
from spectrodiff.training.examples import Examples
from spectrodiff.training.state import TrainState
from spectrodiff.training.task import Params, Scores
from spectrodiff.training.tasks.distill import TEACHER, Distill
from spectrodiff.training.tasks.teacher import Teacher, check_matches

STUDENT = "student"


class StudentTraining:
    """Distillation of the synthesizer, or of the model to start from.

    Args:
        recipe: network, batches, and settings of the student.
        options: seed, model to start from, and folder.
        songs: to train on.
        compilers: threads that compile the programs.

    Raises:
        CheckpointError: if the model to start from cannot be read, or predicts something else.
        ConfigError: if only the student is trained, and the model has other sizes or tokens.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: RunOptions,
        songs: SongSupply,
        compilers: concurrent.futures.Executor,
    ) -> None:
        self._recipe, self._songs = recipe, songs
        self._folder = options.out / STUDENT
        self._given = None
        sampling = recipe.sampling
        if "synthesizer" not in options.train and (given := read_given(recipe, options)):
            schedule = recipe.student.distillation.schedule
            check_matches(given, recipe.config, recipe.tokenization, schedule)
            self._given, sampling = given.params, given.sampling
        self._task = _task(recipe, sampling)
        self._trainer = Trainer(
            self._task.config,
            self._loss,
            recipe.student.optimization,
            make_mesh(jax.devices()[:1]),
            recipe.steps_per_call,
            options.seed,
        )
        params = jax.eval_shape(lambda: denoising_task(recipe).init_params(0))
        state = jax.eval_shape(self._trainer.initial, params)
        self._steps = compile_buckets(self._trainer, recipe, state, params, songs, compilers)

    def train(self, teacher: Params | None, deadline: float, log: RecipeLog) -> None:
        """Trains until the deadline; writes the student.

        Args:
            teacher: parameters of the synthesizer; None for those of the model to start from.
            deadline: end of the training, on the monotonic clock.
            log: of the run.
        """
        if teacher is None:
            teacher = self._given
        assert teacher is not None
        rate = self._recipe.student.optimization.learning_rate
        run_stage(
            self._trainer.initial(teacher),
            programs(self._steps, self._recipe, jax.device_put(teacher), self._songs),
            StagePlan.until("student", deadline, rate, "cosine"),
            self._songs,
            self._folder,
            self._write,
            log,
        )

    def _loss(self, params: Params, examples: Examples, key: jax.Array, data: Data) -> Scores:
        return self._task.loss({**params, TEACHER: data[2]}, examples, key)

    def _write(self, state: TrainState) -> None:
        assert state.ema is not None
        write_model(self._recipe, state.ema, self._recipe.student.sampling, self._folder)


def _task(recipe: Recipe, sampling: Sampling) -> Distill:
    """Returns the task; the parameters of the teacher are arguments of its loss.

    Args:
        recipe: network and student.
        sampling: settings that the teacher is used with.
    """
    distillation, dtype = recipe.student.distillation, compute_type(recipe.precision)
    checkpoint = Checkpoint(
        config=recipe.config,
        params={},
        prediction=distillation.prediction,
        schedule=distillation.schedule,
        tokenization=recipe.tokenization,
        sampling=sampling,
    )
    return Distill(
        config=recipe.config,
        dtype=dtype,
        tokenization=recipe.tokenization,
        settings=distillation,
        sampling=recipe.student.sampling,
        teacher=Teacher(checkpoint, dtype),
    )
