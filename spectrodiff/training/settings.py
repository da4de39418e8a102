"""Everything that can be set about a training run; the defaults are the paper's recipe.

Gin files fill these classes under their own names (see `configs/`), the entry point hands them on.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

from spectrodiff.core.config import check_types, require
from spectrodiff.core.errors import ConfigError
from spectrodiff.data.loading.examples import Chunking, OverflowPolicy
from spectrodiff.diffusion.loss import DenoisingLoss, LossNorm, LossTarget
from spectrodiff.diffusion.parameterization import Prediction
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling
from spectrodiff.diffusion.schedule import ScheduleName
from spectrodiff.inverter.config import SIZES as INVERTER_SIZES
from spectrodiff.inverter.config import InverterConfig, RecurrentConfig
from spectrodiff.inverter.losses import SCALES
from spectrodiff.inverter.networks.discriminators import DiscriminatorsConfig
from spectrodiff.models.config import SIZES, CrossAttention, ModelConfig, NetworkKind
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

Precision = Literal["float32", "bfloat16"]
OptimizerName = Literal["adafactor", "adamw", "muon"]
RateSchedule = Literal["constant", "cosine", "rsqrt"]
Initialization = Literal["t5", "aligned"]
RandomBits = Literal["threefry2x32", "rbg"]

MIN_WINDOW_FRAMES = 8
INVERSION_LOSSES = ("mel_l1", "spectral", "log_mel_l1", "adversarial", "feature_match")
# Those that are only worked out if they weigh anything.
FURTHER_LOSSES = ("phase_advance", "head_advance", "head_magnitude")


@dataclasses.dataclass(frozen=True)
class Network:
    """Which network: a size from the table, and what differs from it (None: nothing)."""

    kind: NetworkKind = "diffusion"
    size: str = "small"
    width: int | None = None
    heads: int | None = None
    head_width: int | None = None
    mlp_width: int | None = None
    encoder_layers: int | None = None
    decoder_layers: int | None = None
    note_tokens: int | None = None
    target_frames: int | None = None
    context_frames: int | None = None  # 0 for a network that does not hear what came before
    cross_attention: CrossAttention | None = None
    dropout: float | None = None
    # "aligned" begins with attention to the same place in time (see `models.alignment`): notes are
    # followed after hundreds of steps instead of tens of thousands. "t5" is the paper's.
    initialization: Initialization = "t5"

    def __post_init__(self) -> None:
        check_types(self)
        if self.kind == "autoregressive":
            what = "'t5' for an autoregressive network"
            require(
                self.initialization == "t5", "Network.initialization", what, self.initialization
            )
        require(self.size in SIZES, "Network.size", f"one of {', '.join(SIZES)}", self.size)

    def config(self, tokenization: Tokenization = RELEASED_TOKENIZATION) -> ModelConfig:
        """The sizes in full; how many tokens there are is a matter of the tokenization.

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
class Diffusion:
    """What a denoiser is trained to do, by default as in the paper; the rest are its ablations."""

    prediction: Prediction = "eps"
    schedule: ScheduleName = "cosine"
    loss_target: LossTarget = "eps"
    loss_norm: LossNorm = "l1"
    # How often an example's notes and context are hidden together, so that guidance has an
    # unconditional branch, and how often its context alone, as at the start of every song.
    drop_conditioning: float = 0.1
    drop_context: float = 0.0
    # Generated context is never quite what training shows. So that of each example gets noise, and
    # is made louder or softer, by standard deviations of up to so much (scaled features, [-1, 1]).
    disturb_context: float = 0.0
    # Standard deviation of that change of loudness relative to the noise's. 0 where notes have
    # velocities: a model whose context is as loud as it should be can trust it.
    disturb_context_level: float = 1.0
    # t = u ** time_power with u uniform: below 1 there is more training on high noise.
    time_power: float = 1.0
    evaluation_times: int = 8  # the evaluation loss is a mean over a fixed grid of so many t

    def __post_init__(self) -> None:
        check_types(self)
        DenoisingLoss(self.loss_target, self.loss_norm)
        for name in ("drop_conditioning", "drop_context"):
            rate = getattr(self, name)
            require(0 <= rate < 1, f"Diffusion.{name}", "a probability in [0, 1)", rate)
        require(
            self.disturb_context >= 0,
            "Diffusion.disturb_context",
            "a number >= 0",
            self.disturb_context,
        )
        require(
            self.disturb_context_level >= 0,
            "Diffusion.disturb_context_level",
            "a number >= 0",
            self.disturb_context_level,
        )
        require(self.time_power > 0, "Diffusion.time_power", "a number > 0", self.time_power)
        require(
            self.evaluation_times >= 1,
            "Diffusion.evaluation_times",
            "a whole number >= 1",
            self.evaluation_times,
        )


@dataclasses.dataclass(frozen=True)
class Inversion:
    """Training a spectrogram inverter, if a generator is named, instead of a synthesiser."""

    generator: str | None = None  # a size of `spectrodiff.inverter.config.SIZES`
    window_frames: int = 64  # how long the training examples are
    # Weights of the losses, under the names that logs and plots have for them.
    mel_l1: float = 1.0
    spectral: float = 1.0
    log_mel_l1: float = 1.0
    adversarial: float = 0.0
    feature_match: float = 0.0
    # How phases advance in the sound; and, of a recurrent generator only, how far what the network
    # says is from the recorded sound's spectra (see `vocoder.recurrent.head_distance`).
    phase_advance: float = 0.0
    head_advance: float = 0.0
    head_magnitude: float = 0.0
    # Frames at either end of an example that are inverted and not compared, for their neighbours
    # are unknown.
    margin_frames: int = 0
    # Discriminators, if the last two weights ask for them: windows of those of spectra, in samples,
    # and by how much those of waveforms lower the rate of the sound; channels of either.
    stft_windows: tuple[int, ...] = (2048, 1024, 512)
    wave_factors: tuple[int, ...] = (1, 2, 4)
    stft_width: int = 32
    wave_width: int = 16
    # A share of the examples has its features disturbed (see `vocoder.disturbances`).
    disturbed: float = 0.5
    noise: float = 0.3
    blur: float = 0.5
    # A model whose idea of the features is what a share of the examples is inverted from.
    denoiser: str | None = None
    denoised: float = 0.5

    def __post_init__(self) -> None:
        check_types(self)
        if self.generator is not None:
            require(
                self.generator in INVERTER_SIZES,
                "Inversion.generator",
                f"one of {', '.join(INVERTER_SIZES)}",
                self.generator,
            )
        require(
            self.window_frames >= MIN_WINDOW_FRAMES,
            "Inversion.window_frames",
            f"a whole number >= {MIN_WINDOW_FRAMES}, the longest window of the losses",
            self.window_frames,
        )
        require(
            0 <= self.margin_frames <= (self.window_frames - MIN_WINDOW_FRAMES) // 2,
            "Inversion.margin_frames",
            f"0 or more, and {MIN_WINDOW_FRAMES} frames left between the margins",
            self.margin_frames,
        )
        if self.head_advance or self.head_magnitude:
            require(
                isinstance(self.config(), RecurrentConfig),
                "Inversion.generator",
                "a recurrent one, for head_advance or head_magnitude",
                self.generator,
            )
        for window in self.stft_windows:
            require(window in SCALES, "Inversion.stft_windows", f"some of {list(SCALES)}", window)
        for factor in self.wave_factors:
            require(1 <= factor <= 16, "Inversion.wave_factors", "numbers from 1 to 16", factor)
        for name in ("stft_width", "wave_width"):
            value = getattr(self, name)
            require(value >= 1, f"Inversion.{name}", "a whole number >= 1", value)
        if self.adversarial or self.feature_match:
            require(
                bool(self.stft_windows or self.wave_factors),
                "Inversion.stft_windows",
                "some discriminators, for adversarial or feature_match",
                self.stft_windows,
            )
        for name in (*INVERSION_LOSSES, *FURTHER_LOSSES, "noise"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"Inversion.{name}", "a number >= 0", value)
        for name in ("disturbed", "blur", "denoised"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"Inversion.{name}", "a number from 0 to 1", value)

    def config(self) -> InverterConfig:
        """The generator's sizes in full."""
        assert self.generator is not None
        return INVERTER_SIZES[self.generator]

    def discriminators(self) -> DiscriminatorsConfig | None:
        """Which discriminators there are; None if no loss asks for any."""
        if not self.adversarial and not self.feature_match:
            return None
        return DiscriminatorsConfig(
            self.stft_windows, self.wave_factors, self.stft_width, self.wave_width
        )


@dataclasses.dataclass(frozen=True)
class Optimization:
    """How gradients become updates."""

    optimizer: OptimizerName = "adafactor"
    learning_rate: float = 1e-3
    schedule: RateSchedule = "constant"
    warmup_steps: int = 0  # linear from zero, whatever follows
    clip_norm: float | None = None  # of all gradients together
    weight_decay: float = 0.0  # decoupled; not for Adafactor
    beta1: float = 0.9
    beta2: float = 0.999
    # Learning rate of query and key kernels relative to all others. Optimisers that normalise take
    # full steps where gradients are noise: an aligned beginning would be lost before it is used.
    query_key_rate: float = 1.0
    # With e.g. 0.9999 a running average of the parameters is kept, evaluated and sampled from.
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
    """How long, how much at once, and what to do along the way. Counts are in steps."""

    steps: int = 500_000
    batch_size: int = 1024  # of all devices and hosts together
    micro_batches: int = 1  # a batch is worked off in so many parts, for less memory
    precision: Precision = "float32"  # of the matrix products
    remat: bool = False  # recompute activations instead of keeping them: less memory, more time
    shard_parameters: bool = False  # split them, and the optimiser's state, over the devices
    random_bits: RandomBits = "threefry2x32"  # rbg is quicker, but depends on the device count
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 5_000
    evaluation_examples: int = 64
    preview_every: int = 25_000  # pictures and sound
    previews: int = 2
    save_every: int = 5_000
    keep: int = 3  # newest checkpoints
    keep_every: int | None = 50_000  # and every checkpoint at a multiple of this

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

    def check_devices(self, devices: int) -> None:
        """Makes sure that a batch can be shared out.

        Raises:
            ConfigError: if it does not divide over the devices and parts.
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
    """Which prepared corpora to train on, and how segments are cut out of them."""

    corpora: tuple[str, ...] = ()  # as "corpus/config", or "corpus" if only one config is prepared
    weights: tuple[float, ...] | None = None  # shares; None for the paper's (n_i / sum n) ** 0.3
    train_split: str = "train"
    evaluation_split: str = "validation"
    overflow: OverflowPolicy = "skip"
    threads: int = 8  # that read recordings, in each process

    def __post_init__(self) -> None:
        check_types(self)
        require(bool(self.corpora), "Data.corpora", "at least one corpus", self.corpora)
        require(self.threads >= 0, "Data.threads", "a whole number >= 0", self.threads)

    def chunking(self, config: ModelConfig, tokenization: Tokenization) -> Chunking:
        """How segments are cut for a network."""
        return Chunking(
            context_frames=config.context_frames,
            target_frames=config.target_frames,
            max_tokens=config.note_tokens,
            tokenization=tokenization,
            overflow=self.overflow,
        )


class RunSettings(NamedTuple):
    """All settings of a run."""

    network: Network
    diffusion: Diffusion
    optimization: Optimization
    training: Training
    data: Data
    inversion: Inversion | None = None  # where an inverter is trained; then no synthesiser is
    tokenization: Tokenization = RELEASED_TOKENIZATION
    sampling: Sampling = PAPER_SAMPLING  # how the model is run when it is used

    def config(self) -> ModelConfig:
        """Sizes of the synthesiser's network."""
        return self.network.config(self.tokenization)

    def chunking(self) -> Chunking:
        """How segments are cut out of recordings."""
        chunking = self.data.chunking(self.config(), self.tokenization)
        if self.inversion is None:
            return chunking
        return dataclasses.replace(
            chunking, context_frames=0, target_frames=self.inversion.window_frames
        )
