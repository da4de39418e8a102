"""Making the audio of every row: drawn by a model, from true features, or as it was recorded."""

import dataclasses
import functools
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints import open_checkpoint
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.progress import Progress
from spectrodiff.diffusion.sampler import Sampler
from spectrodiff.evaluation import checksums
from spectrodiff.evaluation.metrics.signal_distances import log_mel_of
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.songs import EvaluationCorpus, EvaluationSong
from spectrodiff.evaluation.store import (
    SongFiles,
    feature_key,
    files_of,
    read_array,
    write_array,
)
from spectrodiff.inverter import Inverter, invert
from spectrodiff.inverter.loading import GRIFFIN_LIM, default_name
from spectrodiff.models.config import SIZES
from spectrodiff.music.programs import ProgramMap
from spectrodiff.synthesis.loading import make_inverter
from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

# The settings of a row that say how a model draws.
DRAWING = ("sampler", "steps", "guidance", "variance", "seed")


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """What is known about the model before it is loaded.

    Attributes:
        name: as it was given; None if there is none.
        checksum: of its parameters.
        bare: its settings, without parameters.
    """

    name: str | None
    checksum: str | None
    bare: Checkpoint

    @classmethod
    def look_at(cls, name: str | None) -> "Model":
        """Reads a model once, and forgets its parameters.

        Raises:
            CheckpointError: if it is not there, or something is wrong with it.
        """
        if name is None:
            # Of this nothing is used but that it has no inverter.
            return cls(None, None, Checkpoint(SIZES["tiny"], {}))
        checkpoint = open_checkpoint(name)
        checksum = checksums.of_checkpoint(checkpoint)
        return cls(name, checksum, dataclasses.replace(checkpoint, params={}))

    def inverter_name(self, row: Row) -> str:
        """The inverter of a row: its own, or the model's, or the package's."""
        return row.inverter or str(self.bare.inverter or default_name())


def describe(
    row: Row, model: Model, precision: str, program_map: ProgramMap | None = None
) -> dict[str, Any]:
    """All that a row's audio depends on, besides the song.

    Args:
        row: with nothing left open.
        model: that draws it.
        precision: of the computation.
        program_map: the instruments that songs are played on; None for the model's own.

    Raises:
        ConfigError: for an impossible sampler, or a row that needs a model where there is none.
    """
    if row.source == "raw":
        return {"source": "raw"}
    name = model.inverter_name(row)
    inverter = name if name == GRIFFIN_LIM else f"{Path(name).name} {checksums.of_path(name)}"
    if row.source == "encoded":
        return {"source": "encoded", "inverter": inverter}
    if model.name is None:
        raise ConfigError("model", f"a model for the row {row.name}", "none")
    assert row.sampler is not None
    assert row.steps is not None
    assert row.variance is not None
    Sampler(row.sampler, row.steps, row.variance)
    tokenization = model.bare.tokenization.but({"program_map": program_map} if program_map else {})
    return {
        "source": "model",
        "model": model.checksum,
        "precision": precision,
        "tokenization": json.loads(json.dumps(dataclasses.asdict(tokenization))),
        **{name: getattr(row, name) for name in DRAWING},
        "inverter": inverter,
    }


class Inverters:
    """The inverters of rows, each opened once.

    Args:
        model: whose inverter is the default.
        platform: of JAX's devices, such as "cpu".
    """

    def __init__(self, model: Model, platform: str) -> None:
        self._open = functools.cache(lambda name: make_inverter(name, model.bare, platform))

    def __call__(self, name: str | None) -> Inverter:
        """The inverter of a row; says so when that is Griffin-Lim for want of another.

        Args:
            name: of an ONNX file or "griffin-lim"; None for the model's own.

        Raises:
            CheckpointError: if it is not there, or something is wrong with it.
        """
        inverter: Inverter = self._open(name)
        return inverter


@dataclasses.dataclass(frozen=True)
class Renderer:
    """Makes audio and stores it.

    Attributes:
        root: the evaluation's folder.
        rows: the rows.
        descriptions: of the rows, by name.
        inverters: of the rows.
        synthesizer: loads the model, when it is needed for the first time.
        batch_size: songs rendered side by side.
        progress: whether to show it.
    """

    root: Path
    rows: Sequence[Row]
    descriptions: Mapping[str, Mapping[str, Any]]
    inverters: Inverters
    synthesizer: Callable[[], Synthesizer]
    batch_size: int
    progress: bool

    def references(self, corpus: EvaluationCorpus, share: Sequence[int]) -> None:
        """Makes the audio of the rows that come from recordings, where it is missing.

        Args:
            corpus: whose songs.
            share: which of them, by number.

        Raises:
            ConfigError: if a song's folder is of another recording.
        """
        rows = [row for row in self.rows if row.source != "model"]
        with Progress(f"{corpus.name}: references", len(share), "song", self.progress) as bar:
            for number in share:
                song = corpus[number]
                files = files_of(self.root, corpus, song)
                files.claim(song)
                for row in rows:
                    if files.audio(row).is_file():
                        continue
                    if row.source == "raw":
                        files.write_audio(row, song.audio)
                    else:
                        self._invert(files, row, log_mel_of(song.audio), len(song.audio))
                bar.advance()

    def model(self, corpus: EvaluationCorpus, share: Sequence[int]) -> None:
        """Makes the audio of the rows that come from the model, where it is missing.

        Rows that are drawn alike share their features, which are stored.

        Args:
            corpus: whose songs.
            share: which of them, by number.
        """
        for key, rows in self._ways_to_draw().items():
            to_draw: list[EvaluationSong] = []
            for number in share:
                song = corpus[number]
                files = files_of(self.root, corpus, song)
                missing = [row for row in rows if not files.audio(row).is_file()]
                if missing and not files.features(key).is_file():
                    # While it waits to be drawn, only its notes are needed.
                    to_draw.append(dataclasses.replace(song, audio=np.zeros(0, np.float32)))
                    continue
                for row in missing:
                    self._invert(files, row, read_array(files.features(key)), len(song.audio))
            if to_draw:
                self._draw(corpus, key, rows, to_draw)

    def _draw(
        self,
        corpus: EvaluationCorpus,
        key: str,
        rows: Sequence[Row],
        songs: Sequence[EvaluationSong],
    ) -> None:
        names, row = ", ".join(row.name for row in rows), rows[0]
        logger.info("%s: drawing %d songs for %s", corpus.name, len(songs), names)
        settings: dict[str, Any] = {name: getattr(row, name) for name in DRAWING}
        synthesizer = self.synthesizer()
        drawn = synthesizer.render_each(
            [synthesizer.tokenize(song.notes, name=song.id) for song in songs],
            **settings,
            batch_size=self.batch_size,
            progress=self.progress,
        )
        for number, result in drawn:
            files = files_of(self.root, corpus, songs[number])
            for row in rows:
                if self.inverters(row.inverter) is synthesizer.inverter:
                    files.write_audio(row, result.audio)
                else:
                    self._invert(files, row, result.log_mel, len(result.audio))
            write_array(files.features(key), result.log_mel)

    def _invert(self, files: SongFiles, row: Row, log_mel: np.ndarray, num_samples: int) -> None:
        audio = invert(self.inverters(row.inverter), log_mel)
        files.write_audio(row, audio[:num_samples])

    def _ways_to_draw(self) -> dict[str, list[Row]]:
        """Rows of the model by what their features depend on."""
        ways: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row.source == "model":
                ways[feature_key(self.descriptions[row.name])].append(row)
        return dict(ways)
