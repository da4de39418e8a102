"""Settings of a training run besides those of its task; the defaults are the paper's.

Gin files fill these classes under their own names (see `configs/`).
"""

import dataclasses
from typing import Literal

from spectrodiff.core.config import check_types, require
from spectrodiff.core.errors import ConfigError
from spectrodiff.data.loading.examples import OverflowPolicy
from spectrodiff.data.pieces import PIECE_FRAMES
from spectrodiff.models.config import (
    SIZES,
    ContextPositions,
    CrossAttention,
    ModelConfig,
    PositionTable,
)
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.synthesis.parameters import compute_type

Precision = Literal["float32", "bfloat16"]
OptimizerName = Literal["adafactor", "adamw", "muon"]
RateSchedule = Literal["constant", "cosine", "rsqrt"]
Initialization = Literal["t5", "aligned"]
RandomBits = Literal["threefry2x32", "rbg"]
LoggerName = Literal["tensorboard", "wandb", "trackio"]


@dataclasses.dataclass(frozen=True)
class Network:
    """Network of a synthesizer: a size from a table, and changes to it (None for no change)."""

    size: str = "small"
    width: int | None = None
    heads: int | None = None
    head_width: int | None = None
    mlp_width: int | None = None
    encoder_layers: int | None = None
    decoder_layers: int | None = None
    note_tokens: int | None = None
    target_frames: int | None = None
    context_frames: int | None = None  # 0 for a network without context
    cross_attention: CrossAttention | None = None
    positions: PositionTable | None = None
    context_positions: ContextPositions | None = None
    dropout: float | None = None
    # "t5" is the paper's. "aligned" starts with attention between equal times (see
    # `models.initialization`): a model follows notes after hundreds of steps, not ten thousands.
    initialization: Initialization = "t5"

    def __post_init__(self) -> None:
        check_types(self)
        require(self.size in SIZES, "Network.size", f"one of {', '.join(SIZES)}", self.size)

    def config(self, tokenization: Tokenization = RELEASED_TOKENIZATION) -> ModelConfig:
        """Returns all sizes; the vocabulary is that of the tokenization.

        Raises:
            ConfigError: if they are impossible.
        """
        sizes = {field.name for field in dataclasses.fields(ModelConfig)}
        changes = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name in sizes and value is not None
        }
        rows = tokenization.vocabulary.embedding_rows
        return dataclasses.replace(SIZES[self.size], vocabulary_size=rows, **changes)


@dataclasses.dataclass(frozen=True)
class Optimization:
    """Optimizer and learning rate."""

    optimizer: OptimizerName = "adafactor"
    learning_rate: float = 1e-3
    schedule: RateSchedule = "constant"
    warmup_steps: int = 0  # linear from zero, before any schedule
    clip_norm: float | None = None  # of all gradients together
    weight_decay: float = 0.0  # decoupled; not for Adafactor
    beta1: float = 0.9
    beta2: float = 0.999
    # Learning rate of query and key kernels relative to all others. Optimizers that normalize take
    # full steps where gradients are noise, which would destroy an aligned initialization early.
    query_key_rate: float = 1.0
    # Decay of a running average of the parameters, such as 0.9999; if set, the average is what is
    # evaluated and used.
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        require(
            self.learning_rate > 0, "Optimization.learning_rate", "a number > 0", self.learning_rate
        )
        require(
            self.warmup_steps >= 0,
            "Optimization.warmup_steps",
            "a whole number >= 0",
            self.warmup_steps,
        )
        if self.schedule == "rsqrt":
            require(
                self.warmup_steps > 0,
                "Optimization.warmup_steps",
                "a whole number > 0 for the rsqrt schedule",
                self.warmup_steps,
            )
        require(
            self.query_key_rate >= 0,
            "Optimization.query_key_rate",
            "a number >= 0",
            self.query_key_rate,
        )
        if self.clip_norm is not None:
            require(self.clip_norm > 0, "Optimization.clip_norm", "a number > 0", self.clip_norm)
        if self.ema_decay is not None:
            require(
                0 < self.ema_decay < 1,
                "Optimization.ema_decay",
                "a number in (0, 1)",
                self.ema_decay,
            )
        if self.optimizer == "adafactor":
            require(
                self.weight_decay == 0,
                "Optimization.weight_decay",
                "0 for Adafactor",
                self.weight_decay,
            )


@dataclasses.dataclass(frozen=True)
class Training:
    """Task, length, batches and reports of a run. Counts are in steps unless they say otherwise."""

    task: str = "denoise"  # a name in `spectrodiff.training.tasks.TASKS`
    steps: int = 500_000
    batch_size: int = 1024  # over all devices and hosts
    micro_batches: int = 1  # per step (gradient accumulation); more need less memory
    precision: Precision = "float32"  # of the matrix products
    remat: bool = False  # recompute activations in the backward pass: less memory, more time
    shard_parameters: bool = False  # split parameters and optimizer state over the devices
    random_bits: RandomBits = "threefry2x32"  # rbg is faster, but depends on the device count
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 5_000
    evaluation_examples: int = 64
    preview_every: int = 25_000
    previews: int = 2  # number of examples that are rendered, as picture and audio
    save_every: int = 5_000
    keep: int = 3  # number of newest checkpoints that are kept
    keep_every: int | None = 50_000  # checkpoints at multiples of this are kept as well
    loggers: tuple[LoggerName, ...] = ("tensorboard",)  # besides metrics.jsonl
    project: str = "spectrodiff"  # name under which wandb and trackio collect runs

    def __post_init__(self) -> None:
        check_types(self)
        for name in (
            "steps",
            "batch_size",
            "micro_batches",
            "log_every",
            "evaluate_every",
            "evaluation_examples",
            "preview_every",
            "save_every",
            "keep",
        ):
            value = getattr(self, name)
            require(value >= 1, f"Training.{name}", "a whole number >= 1", value)
        if self.keep_every is not None:
            require(
                self.keep_every >= 1, "Training.keep_every", "a whole number >= 1", self.keep_every
            )
        for name in ("previews", "seed"):
            value = getattr(self, name)
            require(value >= 0, f"Training.{name}", "a whole number >= 0", value)
        different = len(set(self.loggers)) == len(self.loggers)
        require(different, "Training.loggers", "each logger once", self.loggers)

    @property
    def dtype(self) -> type:
        """Type of the matrix products."""
        return compute_type(self.precision)

    def check_devices(self, devices: int) -> None:
        """Checks that a batch can be split over devices and micro-batches.

        Raises:
            ConfigError: if it cannot.
        """
        share = devices * self.micro_batches
        if self.batch_size % share:
            parts = f" in {self.micro_batches} micro-batches" if self.micro_batches > 1 else ""
            raise ConfigError(
                "Training.batch_size",
                f"a multiple of {share}, for {devices} devices{parts}",
                str(self.batch_size),
            )


@dataclasses.dataclass(frozen=True)
class Data:
    """Prepared corpora to train on, and how examples are drawn from them."""

    corpora: tuple[str, ...] = ()  # "corpus/config", or "corpus" if only one config is prepared
    weights: tuple[float, ...] | None = None  # of the corpora; None for (n_i / sum n) ** 0.3
    train_split: str = "train"
    evaluation_split: str = "validation"
    overflow: OverflowPolicy = "skip"
    # Length of the pieces that recordings are cut into, which examples are drawn from; 2000 is the
    # paper's. Corpora are prepared with it.
    piece_frames: int = PIECE_FRAMES
    # Processes that read, for each process that trains: one per 300 examples per second of its
    # devices. 0 reads in a thread, which is enough for a CPU.
    workers: int = 4

    def __post_init__(self) -> None:
        check_types(self)
        require(bool(self.corpora), "Data.corpora", "at least one corpus", self.corpora)
        require(self.workers >= 0, "Data.workers", "a whole number >= 0", self.workers)
        require(
            self.piece_frames >= 1, "Data.piece_frames", "a whole number >= 1", self.piece_frames
        )
