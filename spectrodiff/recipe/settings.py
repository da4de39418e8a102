"""Settings of the recipes: networks, batches, stages, and fractions of the time."""

import dataclasses
from pathlib import Path
from typing import Literal

from spectrodiff.composer.drums import HIGHEST_DRUM, LOWEST_DRUM
from spectrodiff.core.errors import ConfigError
from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.diffusion.sampling import FEW_STEPS, Sampling
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.programs import SLAKH_CLASSES
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.settings import (
    Network,
    Optimization,
    Precision,
)
from spectrodiff.training.tasks.denoise import Diffusion
from spectrodiff.training.tasks.distill import Distillation
from spectrodiff.training.tasks.invert import Inversion

StageSchedule = Literal["constant", "cosine"]
NETWORKS = ("synthesizer", "student", "inverter")


@dataclasses.dataclass(frozen=True)
class Stage:
    """Stage of the training of a synthesizer.

    Attributes:
        name: shown in the log.
        share: fraction of the synthesizer's training time.
        diffusion: loss and conditions of the stage.
        schedule: of the learning rate; "cosine" falls to zero at the end of the stage.
    """

    name: str
    share: float
    diffusion: Diffusion
    schedule: StageSchedule = "cosine"


@dataclasses.dataclass(frozen=True)
class InverterStage:
    """Stage of the training of an inverter; its learning rate falls to zero as a cosine.

    Attributes:
        name: shown in the log.
        share: fraction of the inverter's training time.
        inversion: generator and losses.
        optimization: optimizer and learning rate.
        batch_size: number of windows per step.
        tones: fraction of the windows that are synthetic tones (see `recipe.tones`).
    """

    name: str
    share: float
    inversion: Inversion
    optimization: Optimization
    batch_size: int
    tones: float = 0.25


@dataclasses.dataclass(frozen=True)
class Student:
    """Distillation of the trained synthesizer into one with few steps and no guidance.

    Attributes:
        distillation: loss and conditions. The synthesizer teaches with the sampling settings of
            the recipe, a given model with its own.
        sampling: settings that the student will be used with.
        optimization: optimizer and learning rate, which falls to zero as a cosine.
    """

    distillation: Distillation
    sampling: Sampling
    optimization: Optimization


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of a recipe; only the training time is up to the user.

    Attributes:
        network: of the synthesizer.
        tokenization: of its notes.
        sampling: settings that the model will be used with.
        stages: of the synthesizer's training, in order; they have the same prediction, schedule
            and loss.
        optimization: of the synthesizer; the schedule is that of the stages.
        buckets: maximum numbers of note tokens, ascending; examples are padded to the next one, and
            each has a compiled program.
        batch_sizes: number of examples per step, one for each bucket.
        student: distillation of the synthesizer.
        inverter_stages: of the inverter's training, in order.
        student_share: fraction of the training time for the student.
        inverter_share: fraction of the training time for the inverter.
        song_frames: length of the songs.
        examples_per_song: number of examples that are cut out of each song.
        gain: factor from FluidSynth's output to ours; the same for all songs, so that loudness
            depends on the notes.
        held_out_songs: number of songs, the first ones, that are for evaluation only.
        first_songs: number of songs that must be rendered before training starts.
        max_songs: maximum number of songs in the device's memory.
        steps_per_call: number of steps between two checks of the time.
        precision: of the synthesizer's matrix products; the inverter is always trained in float32,
            because its phases need it.
    """

    network: Network
    tokenization: Tokenization
    sampling: Sampling
    stages: tuple[Stage, ...]
    optimization: Optimization
    buckets: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    student: Student
    inverter_stages: tuple[InverterStage, ...]
    student_share: float = 0.2
    inverter_share: float = 0.28
    song_frames: int = 2048  # 41 s
    examples_per_song: int = 32
    gain: float = 0.5
    held_out_songs: int = 8
    first_songs: int = 128
    max_songs: int = 2800
    steps_per_call: int = 16
    precision: Precision = "bfloat16"

    def __post_init__(self) -> None:
        if len(self.buckets) != len(self.batch_sizes) or list(self.buckets) != sorted(self.buckets):
            raise ConfigError(
                "Recipe.buckets", "ascending lengths, as many as batch_sizes", str(self.buckets)
            )
        for name in ("prediction", "schedule", "loss_target", "loss_norm"):
            found = {getattr(stage.diffusion, name) for stage in self.stages}
            found.add(getattr(self.student.distillation, name))
            if len(found) > 1:
                raise ConfigError(f"Diffusion.{name}", "the same in all stages", f"{found}")
        for name, stages in (("stages", self.stages), ("inverter_stages", self.inverter_stages)):
            total = sum(stage.share for stage in stages)
            if abs(total - 1) > 1e-6:
                raise ConfigError(f"Recipe.{name}", "shares that add up to 1", f"{total:g}")

    @property
    def config(self) -> ModelConfig:
        """Sizes of the synthesizer's network."""
        return self.network.config(self.tokenization)

    def example_format(self) -> ExampleFormat:
        """Returns lengths and tokenization of the examples."""
        return ExampleFormat(
            context_frames=self.config.context_frames,
            target_frames=self.config.target_frames,
            max_tokens=self.buckets[-1],
            tokenization=self.tokenization,
            overflow="truncate",
        )

    def from_stage(self, number: int) -> "Recipe":
        """Returns the recipe without the synthesizer's stages before a number, counted from 1.

        Raises:
            ConfigError: if there is no such stage.
        """
        if not 1 <= number <= len(self.stages):
            raise ConfigError("stage", f"a number in 1..{len(self.stages)}", str(number))
        rest = self.stages[number - 1 :]
        total = sum(stage.share for stage in rest)
        stages = tuple(dataclasses.replace(stage, share=stage.share / total) for stage in rest)
        return dataclasses.replace(self, stages=stages)

    def on_cpu(self) -> "Recipe":
        """Returns the recipe with smaller batches and fewer songs, for one or two CPU cores."""
        return dataclasses.replace(
            self,
            batch_sizes=tuple(max(size // 16, 1) for size in self.batch_sizes),
            inverter_stages=tuple(
                dataclasses.replace(stage, batch_size=max(stage.batch_size // 16, 1))
                for stage in self.inverter_stages
            ),
            first_songs=min(self.first_songs, 16),
            max_songs=min(self.max_songs, 512),
            steps_per_call=min(self.steps_per_call, 4),
            precision="float32",
        )


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of one run of a recipe.

    Attributes:
        minutes: duration of the whole run.
        out: folder for the model, the inverter and the log.
        workers: number of processes that render songs.
        seed: of songs, parameters and steps.
        init_from: model to start from, as `spectrodiff.load` takes it; without a training of the
            synthesizer, the teacher of the student.
        init_inverter: inverter to start from, a .safetensors file.
        train: networks to train, of `NETWORKS`.

    Raises:
        ConfigError: if there is nothing that the student could learn from.
    """

    minutes: float
    out: Path
    workers: int
    seed: int = 0
    init_from: str | None = None
    init_inverter: Path | None = None
    train: tuple[str, ...] = NETWORKS

    def __post_init__(self) -> None:
        if {"synthesizer", "student"} & set(self.train) == {"student"} and self.init_from is None:
            raise ConfigError("init_from", "a model that the student learns from", "None")


# Drums that the composer uses.
_DRUMS = tuple(range(LOWEST_DRUM, HIGHEST_DRUM + 1))
_NOTES_FIRST = Diffusion(
    prediction="v",
    loss_target="v",
    time_power=0.15,
    drop_conditioning=0.05,
    drop_context=0.6,
)
_ALL_TIMES = dataclasses.replace(
    _NOTES_FIRST,
    time_power=0.5,
    drop_conditioning=0.1,
    drop_context=0.2,
    disturb_context=0.1,
    disturb_context_level=0.0,
)
_MUON = Optimization(
    optimizer="muon",
    learning_rate=1e-3,
    query_key_rate=0.1,
    warmup_steps=100,
    clip_norm=1.0,
    ema_decay=0.999,
)

_STUDENT = Student(
    distillation=Distillation(
        solver="dpmpp", substeps=2, drop_context=0.2, disturb_context=0.1, disturb_context_level=0.0
    ),
    # A step for two guided ones of the teacher: 4 evaluations of the network instead of 16.
    sampling=Sampling(sampler="ddim", steps=4, guidance=1.0),
    optimization=dataclasses.replace(_MUON, learning_rate=3e-4, warmup_steps=30, ema_decay=0.99),
)

MINI = Recipe(
    network=Network(
        size="small",
        width=256,
        heads=4,
        mlp_width=512,
        encoder_layers=3,
        decoder_layers=5,
        target_frames=128,
        context_frames=128,
        note_tokens=768,
        dropout=0.0,
        initialization="aligned",
    ),
    tokenization=Tokenization(
        velocity_bins=32, programs=tuple(SLAKH_CLASSES), drums=_DRUMS, trim_overlaps=True
    ),
    sampling=FEW_STEPS,
    stages=(
        Stage("notes first", 0.15, _NOTES_FIRST, "constant"),
        Stage("all times", 0.85, _ALL_TIMES),
    ),
    optimization=_MUON,
    buckets=(192, 448, 768),
    batch_sizes=(256, 160, 96),
    student=_STUDENT,
    inverter_stages=(
        InverterStage(
            name="inverter",
            share=1.0,
            inversion=Inversion(
                generator="recurrent",
                window_frames=96,
                margin_frames=16,
                disturbed=0.4,
                noise=0.3,
                blur=0.5,
                phase_advance=1.0,
                head_advance=3.0,
                head_magnitude=1.0,
            ),
            optimization=dataclasses.replace(_MUON, query_key_rate=1.0, ema_decay=0.995),
            batch_size=64,
        ),
    ),
)

TINY = dataclasses.replace(
    MINI,
    network=dataclasses.replace(
        MINI.network,
        size="tiny",
        width=96,
        heads=1,
        head_width=32,
        mlp_width=96,
        encoder_layers=1,
        decoder_layers=1,
        target_frames=32,
        context_frames=32,
        note_tokens=256,
    ),
    buckets=(256,),
    batch_sizes=(32,),
    inverter_stages=tuple(
        dataclasses.replace(
            stage,
            inversion=dataclasses.replace(
                stage.inversion, generator="recurrent_tiny", window_frames=32, margin_frames=4
            ),
            batch_size=32,
        )
        for stage in MINI.inverter_stages
    ),
    song_frames=256,
    examples_per_song=8,
    held_out_songs=2,
    first_songs=4,
    max_songs=8,
    steps_per_call=2,
)

RECIPES = {"mini": MINI, "tiny": TINY}
