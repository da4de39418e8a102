"""Distillation of a diffusion model into one that needs a few steps and no guidance.

The student is an ordinary model: `sample.py`, `eval.py` and exports need to know nothing of how it
was trained. See docs/distillation.md.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import scale
from spectrodiff.checkpoints.model import Description, as_json
from spectrodiff.checkpoints.tree import flatten, nest
from spectrodiff.core.config import check_types, require
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.leaps import Leap, Leaps, choose
from spectrodiff.diffusion.loss import DenoisingLoss, LossNorm, LossTarget
from spectrodiff.diffusion.parameterization import Prediction, estimates, to_eps, to_x0
from spectrodiff.diffusion.sampler import SamplerName
from spectrodiff.diffusion.sampling import Sampling, SamplingChanges
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.training.examples import Examples
from spectrodiff.training.task import Params, RunSettings, Scores, TaskSettings
from spectrodiff.training.tasks.denoise import Conditions, disturb, example_noise, hide
from spectrodiff.training.tasks.shared import DiffusionTask
from spectrodiff.training.tasks.teacher import Teacher, check_matches, open_teacher

TEACHER = "teacher"  # its frozen parameters, beside those of the student
OUTPUT = "decoder/output/kernel"
BOTH = "x0_and_eps"


@dataclasses.dataclass(frozen=True)
class Distillation(TaskSettings):
    """Settings of distillation.

    Network, tokenization and schedule are those of the teacher. Number and times of the student's
    steps are those of `Sampling`, which the student will be used with.
    """

    teacher: str | None = None  # a diffusion model that `spectrodiff.load` takes
    # Guidance weight that the student learns; None for the one that the teacher is used with.
    guidance: float | None = None
    # Lowest and highest time at which the teacher is guided; None as it is used.
    guidance_times: tuple[float, ...] | None = None
    solver: SamplerName = "ddim"  # sampler of the teacher: "ddim", or "dpmpp" for few substeps
    # Number of the teacher's steps that a student's step stands for: 2 halves the steps of a
    # teacher with twice as many (progressive distillation).
    substeps: int = 2
    # Number of these that the teacher takes; None for all. With fewer, the student takes the rest
    # of the way itself: 1 is consistency distillation.
    taught: int | None = None
    # Quantity that the student's network outputs. "v" if the teacher's is v; "x0_and_eps" if it is
    # eps, which tells little of x0 at high noise, where few steps spend most of their number.
    prediction: Prediction = "v"
    schedule: str = "cosine"
    loss_target: LossTarget = "v"
    loss_norm: LossNorm = "l1"
    # Probability of hiding the context, as at the start of every song.
    drop_context: float = 0.0
    # Disturbance of the context, as in `Diffusion`.
    disturb_context: float = 0.0
    disturb_context_level: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        DenoisingLoss(self.loss_target, self.loss_norm)
        make_schedule(self.schedule)
        for name in ("drop_context", "disturb_context", "disturb_context_level"):
            value = getattr(self, name)
            require(value >= 0, f"Distillation.{name}", "a number >= 0", value)
        try:
            Sampling().but(**self._changes())
        except ConfigError as error:
            name = error.subject.replace("Sampling", "Distillation")
            raise ConfigError(name, error.expected, error.got) from None
        require(self.drop_context < 1, "Distillation.drop_context", "below 1", self.drop_context)

    @property
    def trains_sampling(self) -> bool:
        """True: the steps of `Sampling` are those that are trained."""
        return True

    def description(self, run: RunSettings) -> dict[str, Any]:
        """Returns the description of the student's network, as JSON."""
        settings = self.prediction, self.schedule, run.tokenization, run.sampling
        return as_json(Description(self._config(run), *settings))

    def make(self, run: RunSettings) -> "Distill":
        """Makes the task with the network, precision and tokenization of a run."""
        guidance = run.sampling.guidance
        require(guidance == 1.0, "Sampling.guidance", "1.0: students need no guidance", guidance)
        context = run.sampling.context_guidance
        expected = "None: students need no guidance"
        require(context in (None, 1.0), "Sampling.context_guidance", expected, context)
        self.leaps(run.sampling)  # raises ConfigError for impossible steps
        teacher = open_teacher(self.teacher, self._changes(), run.training.dtype)
        check_prediction(teacher.checkpoint.prediction, self.prediction)
        config = self._config(run)
        check_matches(teacher.checkpoint, config, run.tokenization, self.schedule)
        return Distill(
            config=config,
            dtype=run.training.dtype,
            remat=run.training.remat,
            tokenization=run.tokenization,
            settings=self,
            sampling=run.sampling,
            teacher=teacher,
        )

    def leaps(self, sampling: Sampling) -> Leaps:
        """Returns the leaps that a student with some sampling settings is trained on."""
        taught = self.substeps if self.taught is None else self.taught
        return Leaps(sampling.solver(), self.solver, self.substeps, taught)

    def _changes(self) -> SamplingChanges:
        """Returns the changes to the teacher's guidance."""
        return {"guidance": self.guidance, "guidance_times": self.guidance_times}

    def _config(self, run: RunSettings) -> ModelConfig:
        config = run.network.config(run.tokenization)
        return dataclasses.replace(config, estimates=estimates(self.prediction))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(DiffusionTask):
    """Leaps of a student to where its teacher's steps lead.

    Attributes:
        settings: loss and conditions.
        sampling: settings that the student will be used with; its steps are those that are trained.
        teacher: the model to learn from.
    """

    settings: Distillation
    teacher: Teacher

    @property
    def frozen(self) -> Params:
        """Parameters of the teacher."""
        return {TEACHER: self.teacher.checkpoint.params}

    def init_params(self, seed: int) -> Params:
        """Returns the teacher's parameters, fitted to the student's output."""
        del seed
        teacher = self.teacher.checkpoint
        return student_params(teacher.params, teacher.prediction, self.settings.prediction)

    def loss(self, params: Params, examples: Examples, key: jax.Array) -> Scores:
        """Returns the mean loss at one random leap per example, with dropout and hiding."""
        disturb_key, hide_key, number_key, noise_key, dropout_key = jax.random.split(key, 5)
        conditions = Conditions(
            time_power=1.0,
            drop_conditioning=0.0,
            drop_context=self.settings.drop_context,
            disturb_context=self.settings.disturb_context,
            disturb_context_level=self.settings.disturb_context_level,
        )
        if conditions.disturb_context:
            maximum, level = conditions.disturb_context, conditions.disturb_context_level
            examples = disturb(examples, maximum, disturb_key, level)
        examples = hide(examples, conditions, hide_key)
        x0 = scale(examples.log_mel)
        table = self._table(self.settings.leaps(self.sampling))
        numbers = jax.random.randint(number_key, x0.shape[:1], 0, len(table.whole.time))
        leap = choose(table, numbers)
        eps = jax.random.normal(noise_key, x0.shape)
        z = leap.whole.alpha * x0 + leap.whole.sigma * eps
        target = self._target(params, examples, z, leap)
        return {"loss": self._distance(params, examples, z, leap, target, dropout_key).mean()}

    def scores(self, params: Params, examples: Examples, keys: jax.Array) -> Scores:
        """Returns the loss of each of the student's steps, and errors of whole samples.

        In "loss", their mean, the teacher always takes whole leaps. "sample_x0_error" is the mean
        absolute difference between the student's samples and the teacher's from the same noise,
        and "x0_error" that between the student's and the recorded features, both scaled.
        """
        x0 = scale(examples.log_mel)
        leaps = dataclasses.replace(self.settings, taught=None).leaps(self.sampling)
        table = self._table(leaps)
        teach = self.teacher.denoiser(params[TEACHER], examples)

        def step(carry: tuple[jax.Array, jax.Array], number: jax.Array) -> Any:
            student, teacher = carry
            leap = choose(table, jnp.full(x0.shape[:1], number))
            eps = example_noise(keys, number, x0.shape[1:])
            z = leap.whole.alpha * x0 + leap.whole.sigma * eps
            target = leap.target(z, leap.follow_teacher(teach, z))
            loss = self._distance(params, examples, z, leap, target)
            x0_hat = self._x0(params, examples, student, leap)
            student = leap.whole.z * student + leap.whole.x0 * x0_hat
            return (student, leap.follow_teacher(teach, teacher)), loss

        noise = example_noise(keys, len(table.whole.time), x0.shape[1:])
        (student, teacher), losses = jax.lax.scan(
            step, (noise, noise), jnp.arange(len(table.whole.time))
        )
        times = self.sampling.solver().grid(make_schedule(self.settings.schedule))[:-1]
        # With the digits that tell them apart: steps of equal log-SNR crowd at both ends.
        digits = 3
        while len({round(time, digits) for time in times}) < len(times):
            digits += 1
        return {
            "loss": losses.mean(axis=0),
            "sample_x0_error": jnp.abs(student - teacher).mean(axis=(1, 2)),
            "x0_error": jnp.abs(student - x0).mean(axis=(1, 2)),
            **{f"loss_t{time:.{digits}f}": losses[index] for index, time in enumerate(times)},
        }

    def notes_gap(
        self, params: Params, examples: Examples, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """Returns the error of x0 after the first step, with own and with other notes."""
        x0 = scale(examples.log_mel)
        leap = choose(self._table(self.settings.leaps(self.sampling)), jnp.zeros(x0.shape[:1], int))
        z = leap.whole.alpha * x0 + leap.whole.sigma * example_noise(keys, 0, x0.shape[1:])

        def error(tokens: jax.Array) -> jax.Array:
            x0_hat = self._x0(params, examples._replace(tokens=tokens), z, leap)
            return jnp.abs(x0_hat - x0).mean(axis=(1, 2))

        own, other = error(examples.tokens), error(other_tokens)
        return {"x0_error_own_notes": own, "x0_error_other_notes": other, "notes_gap": other - own}

    def _table(self, leaps: Leaps) -> Leap:
        return leaps.table(make_schedule(self.settings.schedule))

    def _target(self, params: Params, examples: Examples, z: jax.Array, leap: Leap) -> jax.Array:
        """Returns the x0 [B, F, M] to predict for z, a constant of the loss."""
        arrival = leap.follow_teacher(self.teacher.denoiser(params[TEACHER], examples), z)
        if not self.settings.leaps(self.sampling).by_teacher:
            rest = leap._replace(whole=leap.rest)
            arrival = leap.finish(self._x0(params, examples, arrival, rest), arrival)
        return jax.lax.stop_gradient(leap.target(z, arrival))

    def _distance(
        self,
        params: Params,
        examples: Examples,
        z: jax.Array,
        leap: Leap,
        target: jax.Array,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the distance [B] of the student's prediction for z from the target."""
        output = self._output(params, examples, z, leap.whole.time, dropout_key)
        alpha, sigma = leap.whole.alpha, leap.whole.sigma
        eps = to_eps("x0", target, z, alpha, sigma)
        distance = DenoisingLoss(self.settings.loss_target, self.settings.loss_norm)
        return distance(self.settings.prediction, output, target, eps, alpha, sigma)

    def _x0(self, params: Params, examples: Examples, z: jax.Array, leap: Leap) -> jax.Array:
        """Returns the student's estimate of x0 at the beginning of leaps, as in sampling."""
        whole = leap.whole
        output = self._output(params, examples, z, whole.time)
        x0 = to_x0(self.settings.prediction, output, z, whole.alpha, whole.sigma)
        return jnp.clip(x0, -1.0, 1.0)

    def _output(
        self,
        params: Params,
        examples: Examples,
        z: jax.Array,
        time: jax.Array,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        own = {name: value for name, value in params.items() if name != TEACHER}
        network = define(Denoiser, self.config, dtype=self.dtype, remat=self.remat).merge(own)
        conditioning = examples.tokens, examples.context, examples.context_mask
        return network(*conditioning, z, time.reshape(-1), key=dropout_key)


def student_params(teacher: Params, theirs: Prediction, ours: Prediction) -> Params:
    """Returns the first parameters of a student: those of its teacher.

    A student with one estimate fewer takes the half of the output that it has; one with another
    estimate more, which the teacher does not have, starts with zeros there.

    Args:
        teacher: parameters of the teacher.
        theirs: quantity that the teacher's network outputs.
        ours: quantity that the student's network outputs; see `check_prediction`.
    """
    flat = {name: np.asarray(values, np.float32) for name, values in flatten(teacher).items()}
    if estimates(theirs) != estimates(ours):
        kernel = flat[OUTPUT]
        if theirs == BOTH:
            halves = dict(zip(("x0", "eps"), np.split(kernel, 2, axis=-1), strict=True))
            flat[OUTPUT] = halves[ours]
        else:
            zeros = np.zeros_like(kernel)
            kernels = (kernel, zeros) if theirs == "x0" else (zeros, kernel)
            flat[OUTPUT] = np.concatenate(kernels, axis=-1)
    return nest(flat)


def check_prediction(theirs: Prediction, ours: Prediction) -> None:
    """Checks that a student can start with the output of a network that predicts `theirs`.

    Raises:
        ConfigError: if one of the two outputs x0 and eps, and the other one v.
    """
    possible = {theirs, ours} != {BOTH, "v"}
    expected = f"an output that can start as {theirs!r}, the teacher's"
    require(possible, "Distillation.prediction", expected, ours)
