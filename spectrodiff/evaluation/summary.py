"""Summary of the stored scores of songs: the results of an evaluation."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CorpusError
from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.results import (
    CorpusResults,
    CorpusScore,
    MissingColumn,
    ResultRow,
    Results,
    SongResults,
    Speed,
)
from spectrodiff.evaluation.scoring.metric import Metric, ScoredSong
from spectrodiff.evaluation.scoring.open_metrics import MissingMetric
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.evaluation.songs import EvaluationCorpus
from spectrodiff.evaluation.store import SongFiles, files_of

# Scores by metric and column.
StoredScores = Mapping[str, Mapping[str, Score]]


@dataclasses.dataclass(frozen=True)
class Summarizer:
    """Sums up the stored scores of an evaluation.

    Attributes:
        root: folder of the evaluation.
        settings: settings of the evaluation.
        rows: rows of the tables.
        metrics: metrics that scored every song.
        missing: metrics whose columns stay empty.
    """

    root: Path
    settings: Evaluation
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: Sequence[MissingMetric]

    def summarize(
        self,
        corpora: Sequence[EvaluationCorpus],
        *,
        model: str | None,
        device: str,
        speeds: Mapping[str, Speed],
    ) -> Results:
        """Computes the results of all corpora.

        Args:
            corpora: corpora that were evaluated, one or more, by one protocol.
            model: name of the model, if there is one; secrets in an address are left out.
            device: devices that the evaluation ran on.
            speeds: speed by row.

        Raises:
            CorpusError: if the scores of a song are missing.
        """
        with Progress("summing up", sum(map(len, corpora)), "song") as progress:
            summaries = [self._corpus(corpus, progress) for corpus in corpora]
        models_first = sorted(self.rows, key=lambda row: row.source != "model")
        timed = [speeds[row.name] for row in models_first if row.name in speeds]
        name = shown(model or "")
        return Results(
            title=self.settings.title or f"Evaluation of {name or 'recordings'}",
            model=name,
            created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            device=device,
            settings=dataclasses.asdict(self.settings) | corpora[0].protocol.description,
            rows=[ResultRow(row.name, row.heading, row.source) for row in self.rows],
            columns=self._columns(),
            missing=[
                MissingColumn(column.name, metric.file, metric.published, metric.reason)
                for metric in self.missing
                for column in metric.columns
            ],
            corpora=summaries,
            mean={row.name: _mean_of_corpora(row.name, summaries) for row in self.rows},
            speed=timed[0] if timed else None,
            speeds=speeds,
        )

    def _columns(self) -> list[Column]:
        columns = [column for metric in self.missing for column in metric.columns]
        columns += [column for metric in self.metrics for column in metric.columns]
        return sorted(columns, key=lambda column: not column.paper)

    def _corpus(self, corpus: EvaluationCorpus, progress: Progress) -> CorpusResults:
        songs: list[SongResults] = []
        incomplete: list[str] = []
        stored: list[tuple[SongFiles, Mapping[str, StoredScores]]] = []
        for number in range(len(corpus)):
            song = corpus[number]
            files = files_of(self.root, corpus, song)
            scores = {row.name: files.read_scores(row) for row in self.rows}
            if any(metric.id not in by for by in scores.values() for metric in self.metrics):
                incomplete.append(song.id)
            else:
                seconds = len(song.audio) / SAMPLE_RATE
                songs.append(self._song(files, scores, seconds, song.checksum))
                stored.append((files, scores))
            progress.advance()
        if incomplete:
            got = f"{len(songs)} (not of {', '.join(incomplete)})"
            raise CorpusError(corpus.name, f"scores of {len(corpus)} songs", got)
        return CorpusResults(
            name=corpus.name,
            split=corpus.split,
            songs=len(corpus),
            asked=corpus.asked,
            seconds=sum(song.seconds for song in songs),
            scores={row.name: self._row(row, stored) for row in self.rows},
            per_song=songs,
        )

    def _song(
        self, files: SongFiles, scores: Mapping[str, StoredScores], seconds: float, checksum: str
    ) -> SongResults:
        by_row = {
            row: {name: score for metric in self.metrics for name, score in by[metric.id].items()}
            for row, by in scores.items()
        }
        return SongResults(
            name=files.song,
            seconds=seconds,
            scores={row: {k: v.whole for k, v in by.items()} for row, by in by_row.items()},
            minutes={row: {k: v.minutes for k, v in by.items()} for row, by in by_row.items()},
            media={
                row.name: files.audio(row).relative_to(self.root).as_posix() for row in self.rows
            },
            checksum=checksum,
        )

    def _row(
        self, row: Row, stored: Sequence[tuple[SongFiles, Mapping[str, StoredScores]]]
    ) -> dict[str, CorpusScore]:
        scores: dict[str, CorpusScore] = {}
        for metric in self.metrics:
            songs = [ScoredSong(files, by_row[row.name][metric.id]) for files, by_row in stored]
            scores |= metric.score_corpus(row, songs, self.settings.replicates)
        return scores


def _mean_of_corpora(row: str, corpora: Sequence[CorpusResults]) -> dict[str, float | None]:
    """Returns means over corpora by column, unweighted as in Table 1 of the paper."""
    by_corpus = [corpus.scores[row] for corpus in corpora]
    means: dict[str, float | None] = {}
    for name in by_corpus[0]:
        values = [scores[name].value for scores in by_corpus]
        known = [value for value in values if value is not None]
        means[name] = float(np.mean(known)) if known else None
    return means
