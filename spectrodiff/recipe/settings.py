"""Numbers of the recipes: sizes, batches, stages, and how the time is shared out."""

import dataclasses
from typing import Literal

from spectrodiff.composer.drums import HIGHEST_DRUM, LOWEST_DRUM
from spectrodiff.core.constants import FRAMES_PER_SECOND
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
from spectrodiff.training.tasks.invert import Inversion

StageSchedule = Literal["constant", "cosine"]


@dataclasses.dataclass(frozen=True)
class Stage:
    """Part of a training, with settings of its own.

    Attributes:
        name: what logs call it.
        share: share of the time that the network's training has.
        diffusion: what the denoiser is trained to do in it.
        schedule: "constant", or "cosine", which falls to zero at the end of the stage.
    """

    name: str
    share: float
    diffusion: Diffusion
    schedule: StageSchedule = "cosine"


@dataclasses.dataclass(frozen=True)
class InverterStage:
    """Part of the inverter's training; its learning rate falls to zero as a cosine.

    Attributes:
        name: what logs call it.
        share: share of the time that the inverter's training has.
        inversion: losses.
        optimization: how gradients become updates.
        batch_size: windows a step.
        tones: share of them that are synthetic tones (see `recipe.tones`).
    """

    name: str
    share: float
    inversion: Inversion
    optimization: Optimization
    batch_size: int
    tones: float = 0.25


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that is fixed about a recipe; how long it takes is up to the user.

    Attributes:
        network: the synthesiser's.
        tokenization: how notes become its tokens.
        sampling: how it is to be run.
        stages: of its training, one after another; they may differ in what examples are like, not
            in prediction, schedule or loss.
        optimization: of the synthesiser; its schedule is that of the stages.
        buckets: note tokens of the compiled shapes, ascending; examples are padded to the next.
        batch_sizes: examples a step, one for each bucket.
        inverter_stages: of the inverter's training.
        inverter_share: share of the training time that goes to the inverter.
        piece_frames: length of the pieces, at 50 frames a second.
        cuts: examples cut out of each piece.
        gain: from FluidSynth's scale to ours; the same for all pieces, so that loudness follows
            from the notes.
        held_out_pieces: the first ones, which are for measuring and never trained on.
        first_pieces: how many have to be rendered before training begins.
        most_pieces: how many the device's memory has room for.
        steps_per_call: steps between two looks at the clock.
        precision: of the synthesiser's matrix products; the inverter is always trained in float32,
            for its phases have to be exact.
    """

    network: Network
    tokenization: Tokenization
    sampling: Sampling
    stages: tuple[Stage, ...]
    optimization: Optimization
    buckets: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    inverter_stages: tuple[InverterStage, ...]
    inverter_share: float = 0.28
    piece_frames: int = 2048
    cuts: int = 32
    gain: float = 0.5
    held_out_pieces: int = 8
    first_pieces: int = 128
    most_pieces: int = 2800
    steps_per_call: int = 16
    precision: Precision = "bfloat16"

    def __post_init__(self) -> None:
        if len(self.buckets) != len(self.batch_sizes) or list(self.buckets) != sorted(self.buckets):
            raise ConfigError(
                "Recipe.buckets", "ascending lengths, as many as batch_sizes", str(self.buckets)
            )
        for name in ("prediction", "schedule", "loss_target", "loss_norm"):
            found = {getattr(stage.diffusion, name) for stage in self.stages}
            if len(found) > 1:
                raise ConfigError(f"Diffusion.{name}", "the same in all stages", f"{found}")
        for name, stages in (("stages", self.stages), ("inverter_stages", self.inverter_stages)):
            total = sum(stage.share for stage in stages)
            if abs(total - 1) > 1e-6:
                raise ConfigError(f"Recipe.{name}", "shares that add up to 1", f"{total:g}")

    @property
    def config(self) -> ModelConfig:
        """Sizes of the synthesiser's network."""
        return self.network.config(self.tokenization)

    @property
    def piece_seconds(self) -> float:
        """Length of the pieces."""
        return self.piece_frames / FRAMES_PER_SECOND

    def example_format(self) -> ExampleFormat:
        """Settings for cutting examples."""
        config = self.config
        return ExampleFormat(
            context_frames=config.context_frames,
            target_frames=config.target_frames,
            max_tokens=self.buckets[-1],
            tokenization=self.tokenization,
            overflow="truncate",
        )

    def from_stage(self, number: int) -> "Recipe":
        """The same without the synthesiser's stages before a number, counted from 1.

        Raises:
            ConfigError: if there is no such stage.
        """
        if not 1 <= number <= len(self.stages):
            raise ConfigError("stage", f"a number in 1..{len(self.stages)}", str(number))
        left = self.stages[number - 1 :]
        total = sum(stage.share for stage in left)
        stages = tuple(dataclasses.replace(stage, share=stage.share / total) for stage in left)
        return dataclasses.replace(self, stages=stages)

    def on_cpu(self) -> "Recipe":
        """The same with batches and amounts that a CPU core or two can bear."""
        return dataclasses.replace(
            self,
            batch_sizes=tuple(max(size // 16, 1) for size in self.batch_sizes),
            inverter_stages=tuple(
                dataclasses.replace(stage, batch_size=max(stage.batch_size // 16, 1))
                for stage in self.inverter_stages
            ),
            first_pieces=min(self.first_pieces, 16),
            most_pieces=min(self.most_pieces, 512),
            steps_per_call=min(self.steps_per_call, 4),
            precision="float32",
        )


# The keys that drums are composed for.
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
    piece_frames=256,
    cuts=8,
    held_out_pieces=2,
    first_pieces=4,
    most_pieces=8,
    steps_per_call=2,
)

RECIPES = {"mini": MINI, "tiny": TINY}
