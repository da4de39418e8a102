"""A recipe from beginning to end: render, train the synthesiser, train the inverter, write both.

The time given is all there is: what comes later begins when its share of the rest begins, and what
has been trained is written as it goes, so that a run that is cut off leaves its last state.
"""

import concurrent.futures
import dataclasses
import functools
import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.checkpoints import open_checkpoint
from spectrodiff.checkpoints.checkpoint import Checkpoint
from spectrodiff.checkpoints.store import save_model
from spectrodiff.features import EXTRA_FRAMES, HOP_SAMPLES
from spectrodiff.files import check_writable
from spectrodiff.recipe.growth import grow
from spectrodiff.recipe.pieces import Piece, PieceMaker, make_pieces
from spectrodiff.recipe.settings import InverterStage, Recipe, Stage
from spectrodiff.recipe.store import Examples, Shape, Sound, Store, draw_examples, draw_windows
from spectrodiff.recipe.trainer import Call, Draw, Kind, Report, Trainer, train_until
from spectrodiff.synthesis.segments import make_mesh
from spectrodiff.training.diffusion_objective import DiffusionObjective
from spectrodiff.training.inversion_objective import InversionObjective
from spectrodiff.training.objective import Objective
from spectrodiff.training.segments import Batch, read_segments
from spectrodiff.training.state import Params, TrainState
from spectrodiff.vocoder.files import GENERATOR, StoredInverter, load_inverter, save_inverter

logger = logging.getLogger(__name__)

MODEL, INVERTER, LOG = "mini", "inverter.safetensors", "recipe.jsonl"
SAVE_SECONDS = 60.0
# New pieces are sent together: the tables of examples travel anew with each of them.
SEND_SECONDS = 3.0
# Examples that the gap between own and other notes is measured on.
GAP_EXAMPLES = 64


@dataclasses.dataclass(frozen=True)
class Options:
    """What is asked of a run.

    Attributes:
        minutes: how long it may take, all together.
        out: folder for the model, the inverter and the log.
        workers: processes that render.
        seed: of music, parameters and steps.
        init_from: a model to begin with, as `spectrodiff.load` takes it.
        init_inverter: an inverter to begin with, a .safetensors file.
        train: which of the two to train.
    """

    minutes: float
    out: Path
    workers: int
    seed: int = 0
    init_from: str | None = None
    init_inverter: Path | None = None
    train: tuple[str, ...] = ("synthesiser", "inverter")


class Pantry:
    """Pieces that processes render in the background, and what of them lies on the device.

    Args:
        recipe: sizes.
        maker: makes the pieces.
        workers: how many processes.
    """

    def __init__(self, recipe: Recipe, maker: PieceMaker, workers: int) -> None:
        config = recipe.network.config()
        self.store = Store(
            Shape(
                pieces=recipe.most_pieces,
                piece_frames=recipe.piece_frames,
                lead_frames=config.context_frames,
                cuts=recipe.cuts,
                buckets=recipe.buckets,
            )
        )
        self.held_out: list[Piece] = []
        self._wanted = recipe.held_out_pieces
        self._ready: queue.Queue[Piece | Exception] = queue.Queue()
        self._pieces = make_pieces(maker, 0, recipe.most_pieces + self._wanted, workers)
        self._stopped = threading.Event()
        self._sent = 0.0
        self._thread = threading.Thread(target=self._render, daemon=True)
        self._thread.start()

    def fill(self, count: int) -> None:
        """Waits until `count` pieces can be trained on.

        Raises:
            CorpusError: if a piece cannot be rendered.
        """
        while self.store.num_pieces < count:
            self._take(self._ready.get())
            while not self._ready.empty():
                self._take(self._ready.get())
            self.store.send(everything=not self._thread.is_alive())

    def refill(self) -> None:
        """Sends what has been rendered meanwhile, now and then.

        Raises:
            CorpusError: if a piece cannot be rendered.
        """
        if time.monotonic() - self._sent < SEND_SECONDS:
            return
        self._sent = time.monotonic()
        while not self._ready.empty():
            self._take(self._ready.get())
        self.store.send()

    def close(self) -> None:
        """Ends the rendering."""
        self._stopped.set()

    def _take(self, piece: Piece | Exception) -> None:
        if isinstance(piece, Exception):
            raise piece
        if len(self.held_out) < self._wanted:
            self.held_out.append(piece)
        elif not self.store.full:
            self.store.add(piece)

    def _render(self) -> None:
        try:
            for piece in self._pieces:
                self._ready.put(piece)
                if self._stopped.is_set():
                    break
        except Exception as error:  # whoever takes pieces raises it
            self._ready.put(error)
        finally:
            self._pieces.close()


class Log:
    """Lines for people, and the same as JSON lines in a file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._begin = path, time.monotonic()

    def __call__(self, report: Report) -> None:
        """Writes a line about a stage."""
        self.note(str(report), **dataclasses.asdict(report))

    def note(self, text: str, **values: object) -> None:
        """Writes a line; `values` go to the file."""
        seconds = time.monotonic() - self._begin
        logger.info("[%5.1f s] %s", seconds, text)
        with self._path.open("a") as file:
            file.write(
                json.dumps({"seconds": round(seconds, 2), **(values or {"note": text})}) + "\n"
            )


def run(recipe: Recipe, maker: PieceMaker, options: Options) -> None:
    """Runs a recipe; leaves `mini/`, `inverter.safetensors` (float16) and `recipe.jsonl`.

    Args:
        recipe: what to make.
        maker: renders its pieces.
        options: how long, and where to.

    Raises:
        CorpusError: if pieces cannot be rendered.
        CheckpointError: if what it should begin with does not fit.
        OutputError: if the folder cannot be written to.
    """
    deadline = time.monotonic() + 60 * options.minutes
    check_writable(options.out)
    log = Log(options.out / LOG)
    log.note(f"on {jax.devices()[0].device_kind}, {options.workers} processes render")
    pantry = Pantry(recipe, maker, options.workers)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as compilers:
            _train(recipe, options, pantry, log, compilers, deadline)
    finally:
        pantry.close()


def _train(
    recipe: Recipe,
    options: Options,
    pantry: Pantry,
    log: Log,
    compilers: concurrent.futures.Executor,
    deadline: float,
) -> None:
    synthesiser = inverter = None
    if "synthesiser" in options.train:
        synthesiser = Synthesiser(recipe, options, pantry, compilers)
    if "inverter" in options.train:
        inverter = InverterTraining(recipe, options, pantry, compilers)
    pantry.fill(recipe.first_pieces)
    log.note(str(pantry.store))
    if synthesiser is not None:
        synthesiser.wait()
        log.note("compiled")
        share = 1 - (recipe.inverter_share if inverter is not None else 0)
        synthesiser.train(share * (deadline - time.monotonic()), log)
        log.note(
            f"{pantry.store.num_pieces} pieces, {pantry.store.num_examples} examples by length"
        )
    if inverter is not None:
        inverter.train(deadline, log)
    log.note("done")


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
        self._mesh = make_mesh(jax.devices()[:1])
        self._trainers = [self._trainer(stage) for stage in recipe.stages]
        trainer = self._trainers[0]
        self._state = trainer.initial(self._begin(trainer.objective))
        shape = pantry.store.shapes()
        self._calls: list[list[concurrent.futures.Future[Call]]] = [
            [
                compilers.submit(
                    trainer.compile, self._draw(bucket), self._state, (shape[0], shape[1][bucket])
                )
                for bucket in range(len(recipe.buckets))
            ]
            for trainer in self._trainers
        ]

    def wait(self) -> None:
        """Waits for the programs of the first stage."""
        concurrent.futures.wait(self._calls[0])

    def train(self, seconds: float, log: Log) -> None:
        """Runs all stages in the time given; writes the model after each, and in between."""
        state, spare = self._state, Spare(self._save)
        begin = time.monotonic()
        end = 0.0
        for stage, trainer, calls in zip(
            self._recipe.stages, self._trainers, self._calls, strict=True
        ):
            kinds = [
                Kind(
                    call.result(),
                    functools.partial(self._data, bucket),
                    functools.partial(self._weight, bucket),
                )
                for bucket, call in enumerate(calls)
            ]
            end += stage.share * seconds

            def between(state: TrainState) -> None:
                self._pantry.refill()
                spare(state)

            state = train_until(
                state,
                kinds,
                stage.name,
                trainer.optimization.learning_rate,
                stage.schedule,
                begin + end - time.monotonic(),
                between,
                log,
            )
            self._save(state)
            gap = self._gap(state.ema)
            log.note(f"{stage.name}: held-out x0 errors {gap}", stage=stage.name, **gap)

    def _objective(self, stage: Stage) -> DiffusionObjective:
        network = self._recipe.network
        return DiffusionObjective(
            network.config(),
            stage.diffusion,
            _dtype(self._recipe),
            initialization=network.initialization,
        )

    def _trainer(self, stage: Stage) -> Trainer:
        recipe, seed = self._recipe, self._options.seed
        steps = recipe.chunk_steps
        return Trainer(self._objective(stage), recipe.optimization, self._mesh, steps, seed)

    def _begin(self, objective: Objective) -> Params:
        params: Params = jax.device_get(objective.init_params(self._options.seed))
        if self._options.init_from is None:
            return params
        network = self._recipe.network
        given = open_checkpoint(self._options.init_from)
        return grow(self._options.init_from, given, params, network.config(), network.velocity_bins)

    def _draw(self, bucket: int) -> Draw:
        recipe = self._recipe
        config, batch_size = recipe.network.config(), recipe.batch_sizes[bucket]

        def draw(data: tuple[Sound, Examples], key: jax.Array) -> Batch:
            sound, examples = data
            frames = config.context_frames, config.target_frames
            return draw_examples(sound, examples, key, batch_size, *frames)

        return draw

    def _data(self, bucket: int) -> tuple[Sound, Examples]:
        return self._pantry.store.sound(), self._pantry.store.examples(bucket)

    def _weight(self, bucket: int) -> float:
        """Calls that are due, so that all examples are drawn equally often."""
        return self._pantry.store.num_examples[bucket] / self._recipe.batch_sizes[bucket]

    def _save(self, state: TrainState) -> None:
        diffusion = self._recipe.stages[-1].diffusion
        assert state.ema is not None
        checkpoint = Checkpoint(
            config=self._recipe.network.config(),
            params=jax.device_get(state.ema),
            prediction=diffusion.prediction,
            schedule=diffusion.schedule,
            velocity_bins=self._recipe.network.velocity_bins,
        )
        folder = self._options.out / MODEL
        fresh, old = folder.with_name(MODEL + ".new"), folder.with_name(MODEL + ".old")
        shutil.rmtree(fresh, ignore_errors=True)
        save_model(checkpoint, fresh, "float16")
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    def _gap(self, params: Params | None) -> dict[str, float]:
        """Mean errors of x0 on held-out pieces with their own and with other notes."""
        objective = self._objective(self._recipe.stages[-1])
        config, longest = objective.config, self._recipe.buckets[-1]
        lead = config.context_frames * HOP_SAMPLES
        tokens, audio, starts = [], [], []
        for start, number, piece in _spread(self._pantry.held_out):
            padded = np.pad(
                piece.audio, (lead, (config.target_frames + EXTRA_FRAMES) * HOP_SAMPLES)
            )
            frames = config.context_frames + config.target_frames + EXTRA_FRAMES
            audio.append(padded[start * HOP_SAMPLES :][: frames * HOP_SAMPLES])
            tokens.append(np.pad(piece.tokens[number], (0, longest - len(piece.tokens[number]))))
            starts.append(min(start, config.context_frames))
        batch = {
            "tokens": np.array(tokens, np.int32),
            "audio": np.array(audio),
            "context_frames": np.array(starts, np.int32),
        }
        mesh, keys = self._mesh, jax.random.split(jax.random.key(0), len(tokens))

        @jax.jit
        def gap(params: Params, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
            segment = read_segments(batch, config, mesh)
            return objective.gap(params, segment, jnp.roll(segment.tokens, 7, axis=0), keys)

        assert params is not None
        return {name: float(value.mean()) for name, value in gap(params, batch).items()}


def _spread(pieces: list[Piece]) -> Iterator[tuple[int, int, Piece]]:
    """Start, number and piece of some examples, as many of each piece."""
    each = max(GAP_EXAMPLES // max(len(pieces), 1), 1)
    for piece in pieces:
        for number in range(0, len(piece.starts), max(len(piece.starts) // each, 1)):
            yield int(piece.starts[number]), number, piece


class InverterTraining:
    """Training of the inverter, stage after stage.

    Args:
        recipe: stages.
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
        self._mesh = make_mesh(jax.devices()[:1])
        self._trainers = [self._trainer(stage) for stage in recipe.inverter_stages]
        sound = pantry.store.shapes()[0]
        self._calls = [
            compilers.submit(
                trainer.compile,
                functools.partial(
                    draw_windows,
                    batch_size=stage.batch_size,
                    frames=stage.inversion.window_frames,
                ),
                jax.eval_shape(lambda trainer=trainer: self._initial(trainer, None)),
                sound,
            )
            for stage, trainer in zip(recipe.inverter_stages, self._trainers, strict=True)
        ]

    def train(self, deadline: float, log: Log) -> None:
        """Runs all stages until the deadline; writes the inverter after each, and in between."""
        generator: Params | None = None
        if self._options.init_inverter is not None:
            generator = load_inverter(self._options.init_inverter).params
        begin, end = time.monotonic(), 0.0
        for stage, trainer, call in zip(
            self._recipe.inverter_stages, self._trainers, self._calls, strict=True
        ):
            state = self._initial(trainer, generator)
            kind = Kind(call.result(), self._pantry.store.sound, lambda: 1.0)
            spare = Spare(functools.partial(self._save, stage))
            end += stage.share * (deadline - begin)

            def between(state: TrainState, spare: "Spare" = spare) -> None:
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

    def _trainer(self, stage: InverterStage) -> Trainer:
        objective = InversionObjective(stage.inversion, _dtype(self._recipe))
        return Trainer(
            objective, stage.optimization, self._mesh, self._recipe.chunk_steps, self._options.seed
        )

    def _initial(self, trainer: Trainer, generator: Params | None) -> TrainState:
        params = trainer.objective.init_params(self._options.seed)
        return trainer.initial(params if generator is None else {**params, GENERATOR: generator})

    def _save(self, stage: InverterStage, state: TrainState) -> None:
        assert state.ema is not None
        params = jax.device_get(state.ema[GENERATOR])
        stored = StoredInverter(stage.inversion.config(), params)
        save_inverter(stored, self._options.out / INVERTER, "float16")


class Spare:
    """Saves a state now and then.

    Args:
        save: writes a state.
    """

    def __init__(self, save: Callable[[TrainState], None]) -> None:
        self._save, self._saved = save, time.monotonic()

    def __call__(self, state: TrainState) -> None:
        """Saves the state if the last time is long ago."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save(state)
            self._saved = time.monotonic()


def _dtype(recipe: Recipe) -> type:
    return {"float32": jnp.float32, "bfloat16": jnp.bfloat16}[recipe.precision]
