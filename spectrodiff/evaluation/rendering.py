"""Audio of all rows: rendered by a model, inverted from a recording's features, or recorded."""

import dataclasses
import functools
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import write_array
from spectrodiff.core.progress import Progress
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.evaluation.checksums import checkpoint_checksum, path_checksum, settings_dict
from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel
from spectrodiff.evaluation.protocol import EvaluationSong, Protocol
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.evaluation.songs import EvaluationCorpus
from spectrodiff.evaluation.store import (
    Description,
    SongFiles,
    feature_key,
    files_of,
    read_array,
)
from spectrodiff.evaluation.yardstick import render_with_soundfont
from spectrodiff.inverter import Inverter, invert
from spectrodiff.inverter.loading import GRIFFIN_LIM, default_name
from spectrodiff.models.config import SIZES
from spectrodiff.music.known_instruments import adapt
from spectrodiff.music.programs import ProgramMap
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.synthesis.loading import make_inverter
from spectrodiff.synthesis.segments.model import overlap_of
from spectrodiff.synthesis.songs import group_songs
from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class ModelInfo:
    """Settings and checksum of a model, without its parameters.

    Attributes:
        name: name or path as given; None if there is no model.
        checksum: checksum of parameters and settings.
        bare: checkpoint without parameters.
    """

    name: str | None
    checksum: str | None
    bare: Checkpoint

    @classmethod
    def read(cls, name: str | None) -> "ModelInfo":
        """Reads a model; its parameters are not kept.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        if name is None:
            # A placeholder, which is only asked for its inverter; it has none.
            return cls(None, None, Checkpoint(SIZES["tiny"], {}))
        checkpoint = open_checkpoint(name)
        checksum = checkpoint_checksum(checkpoint)
        return cls(name, checksum, dataclasses.replace(checkpoint, params={}))

    def protocol(self, settings: Evaluation) -> Protocol:
        """Returns the protocol of an evaluation of this model."""
        overlap = overlap_of(self.bare.sampling.but(overlap=settings.overlap), self.bare.config)
        return Protocol(
            settings.protocol,
            settings.max_minutes,
            self.bare.config.target_frames - overlap,
            self.bare.tokenization.trim_overlaps,
        )

    def inverter_name(self, row: Row) -> str:
        """Returns the inverter of a row, or else that of the model, or else the bundled one."""
        return row.inverter or str(self.bare.inverter or default_name())


def describe(
    row: Row,
    model: ModelInfo,
    precision: str,
    program_map: ProgramMap | None = None,
    *,
    score_phases: bool = False,
) -> Description:
    """Returns all settings that the audio of a row depends on.

    Args:
        row: row with all settings filled in.
        model: model that renders it.
        precision: precision of the computation.
        program_map: instruments that songs are rendered with; None for those of the model.
        score_phases: whether the inverter of the row takes phases from the notes.

    Raises:
        ConfigError: for an impossible sampler, or a row that needs a model if there is none.
    """
    if row.source == "raw":
        return {"source": "raw"}
    if row.source == "soundfont":
        assert row.soundfont is not None
        name = f"{Path(row.soundfont).name} {path_checksum(row.soundfont)}"
        return {"source": "soundfont", "soundfont": name}
    name = model.inverter_name(row)
    inverter = name if name == GRIFFIN_LIM else f"{Path(name).name} {path_checksum(name)}"
    if score_phases:
        inverter += ", phases from the score"
    if row.source == "encoded":
        return {"source": "encoded", "inverter": inverter}
    if model.name is None:
        raise ConfigError("model", f"a model for the row {row.name}", "none")
    sampling = model.bare.sampling.but(**row.sampling)
    tokenization = model.bare.tokenization.but({"program_map": program_map} if program_map else {})
    return {
        "source": "model",
        "model": model.checksum,
        "precision": precision,
        "tokenization": _as_json(tokenization),
        **_as_json(sampling),
        "seed": row.seed,
        "inverter": inverter,
    }


def _as_json(settings: Sampling | Tokenization) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(settings_dict(settings)))
    return values


class Inverters:
    """Inverters of the rows; each is opened once.

    Args:
        model: model whose inverter is the default.
        platform: platform of JAX's devices, such as "cpu".
    """

    def __init__(self, model: ModelInfo, platform: str) -> None:
        self._open = functools.cache(
            lambda name, score_phases: make_inverter(
                name, model.bare, platform, score_phases=score_phases
            )
        )

    def __call__(self, settings: Row | Evaluation) -> Inverter:
        """Returns the inverter of a row or of a whole evaluation.

        Logs if it is Griffin-Lim because there is no other.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        inverter: Inverter = self._open(settings.inverter, settings.score_phases)
        return inverter


@dataclasses.dataclass(frozen=True)
class Renderer:
    """Produces the audio of all rows and stores it.

    Attributes:
        root: folder of the evaluation.
        rows: rows of the tables.
        descriptions: descriptions of the rows, by name.
        inverters: returns the inverter of a row.
        synthesizer: function that loads the model on its first call.
        tokenization: how the model hears notes.
        batch_size: number of songs that are rendered together.
        progress: whether to show progress.
    """

    root: Path
    rows: Sequence[Row]
    descriptions: Mapping[str, Description]
    inverters: Callable[[Row], Inverter]
    synthesizer: Callable[[], Synthesizer]
    tokenization: Tokenization
    batch_size: int
    progress: bool

    def references(self, corpus: EvaluationCorpus, share: Sequence[int]) -> None:
        """Produces missing audio of the rows that come from recordings.

        Args:
            corpus: corpus of the songs.
            share: numbers of the songs in the corpus.

        Raises:
            ConfigError: if the folder of a song belongs to another recording.
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
                    elif row.source == "soundfont":
                        files.write_audio(row, render_with_soundfont(row.soundfont, song))
                    else:
                        num_samples = corpus.protocol.rendered_samples(len(song.audio))
                        log_mel = corpus.protocol.encoded(blockwise_log_mel(song.audio))
                        self._invert(files, row, log_mel, song, num_samples)
                bar.advance()

    def model(self, corpus: EvaluationCorpus, share: Sequence[int]) -> None:
        """Produces missing audio of the rows that come from the model.

        Rows with equal settings of the sampling share their features, which are stored.

        Args:
            corpus: corpus of the songs.
            share: numbers of the songs in the corpus.
        """
        for key, rows in self._rows_by_features().items():
            # Without audio, since there can be many and sampling needs only their notes.
            songs: list[EvaluationSong] = []
            waiting: set[int] = set()  # places in the share
            for place, number in enumerate(share):
                song = corpus[number]
                files = files_of(self.root, corpus, song)
                songs.append(dataclasses.replace(song, audio=np.zeros(0, np.float32)))
                missing = [row for row in rows if not files.audio(row).is_file()]
                if missing and not files.features(key).is_file():
                    waiting.add(place)
                    continue
                for row in missing:
                    num_samples = corpus.protocol.rendered_samples(len(song.audio))
                    self._invert(files, row, read_array(files.features(key)), song, num_samples)
            if waiting:
                lengths = [corpus.protocol.count_segments(song) for song in songs]
                places = whole_groups(lengths, self.batch_size, waiting)
                self._render(corpus, key, rows, [songs[place] for place in places])

    def _render(
        self,
        corpus: EvaluationCorpus,
        key: str,
        rows: Sequence[Row],
        songs: Sequence[EvaluationSong],
    ) -> None:
        names, row = ", ".join(row.name for row in rows), rows[0]
        logger.info("%s: rendering %d songs for %s", corpus.name, len(songs), names)
        assert row.seed is not None
        synthesizer = self.synthesizer()
        rendered = synthesizer.render_each(
            [
                corpus.protocol.tokens(
                    synthesizer.tokenize(song.notes, name=song.id, overlap=row.overlap)
                )
                for song in songs
            ],
            **row.sampling,
            seed=row.seed,
            batch_size=self.batch_size,
            progress=self.progress,
        )
        for place, result in rendered:
            files = files_of(self.root, corpus, songs[place])
            if files.features(key).is_file():
                continue  # rendered only since it belongs to a group
            for row in rows:
                if self.inverters(row) is synthesizer.inverter:
                    files.write_audio(row, result.audio)
                else:
                    self._invert(files, row, result.log_mel, songs[place], len(result.audio))
            write_array(files.features(key), result.log_mel)

    def _invert(
        self,
        files: SongFiles,
        row: Row,
        log_mel: np.ndarray,
        song: EvaluationSong,
        num_samples: int,
    ) -> None:
        notes = song.notes
        if row.source == "model":  # as a rendering does
            adaptation = adapt(notes, self.tokenization, strict=False)
            notes = self.tokenization.heard(adaptation.notes)
        audio = invert(self.inverters(row), log_mel, notes=notes)
        files.write_audio(row, audio[:num_samples])

    def _rows_by_features(self) -> dict[str, list[Row]]:
        """Returns the rows that come from the model by the key of their features."""
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row.source == "model":
                rows[feature_key(self.descriptions[row.name])].append(row)
        return dict(rows)


def whole_groups(lengths: Sequence[int], batch_size: int, waiting: Set[int]) -> list[int]:
    """Returns the songs to render so that waiting songs are rendered in the groups of all songs.

    How sums are rounded depends on the shape of a batch. So an evaluation that goes on renders
    whole groups again: on the same machine, its scores are those of an evaluation that was not
    stopped. On a CPU with another number of cores, batches have other shapes.

    Args:
        lengths: segments of all songs.
        batch_size: maximum number of songs in a group.
        waiting: songs that are not rendered yet, one or more.

    Returns:
        Numbers of the songs of all groups with a waiting song, in ascending order.
    """
    groups = group_songs(lengths, batch_size)
    wanted = [group for group in groups if not waiting.isdisjoint(group)]
    others = [group for group in groups if waiting.isdisjoint(group)]
    if sum(map(len, wanted)) == 1:
        wanted += others[:1]  # a single song would be rendered on a single device
    return sorted(song for group in wanted for song in group)
