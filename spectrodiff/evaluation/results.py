"""From the scores of songs to `scores.json`, which the report is made from."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CorpusError
from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.columns import Metric
from spectrodiff.evaluation.metrics.minutes import Score
from spectrodiff.evaluation.metrics.uncertainty import Interval, bootstrap_mean
from spectrodiff.evaluation.open_scorers import Missing
from spectrodiff.evaluation.scorers import EmbeddingScorer, Scorer
from spectrodiff.evaluation.scores import SongEmbeddings, score_corpus
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.evaluation.songs import EvaluationCorpus
from spectrodiff.evaluation.speed import Speed
from spectrodiff.evaluation.store import FORMAT, SongFiles, files_of, read_array

Value = dict[str, float | int | None]


@dataclasses.dataclass(frozen=True)
class Results:
    """What the scores of songs are summed up with.

    Attributes:
        root: the evaluation's folder.
        settings: of the evaluation.
        rows: the rows.
        scorers: what every song was scored with.
        missing: columns that stay empty.
    """

    root: Path
    settings: Evaluation
    rows: Sequence[Row]
    scorers: Sequence[Scorer]
    missing: Sequence[Missing]

    def summarize(
        self,
        corpora: Sequence[EvaluationCorpus],
        *,
        model: str | None,
        device: str,
    ) -> dict[str, Any]:
        """The contents of `scores.json`.

        Args:
            corpora: what was evaluated.
            model: its name, if there is one.
            device: where, in words.

        Raises:
            CorpusError: if the scores of a song are missing.
        """
        total = sum(map(len, corpora))
        with Progress("summing up", total, "song") as progress:
            summaries = [self._corpus(corpus, progress) for corpus in corpora]
        return {
            "format": FORMAT,
            "title": self.settings.title or f"Evaluation of {model or 'recordings'}",
            "model": model or "",
            "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "device": device,
            "settings": dataclasses.asdict(self.settings),
            "rows": [{"name": row.name, "title": row.words} for row in self.rows],
            "metrics": [dataclasses.asdict(metric) for metric in self._metrics()],
            "missing": [
                dataclasses.asdict(column) | {"metric": column.metric.name}
                for column in self.missing
            ],
            "corpora": summaries,
            "mean": {row.name: _mean_of_corpora(row.name, summaries) for row in self.rows},
            "speed": None,
        }

    def with_speeds(self, speeds: Mapping[str, Speed]) -> dict[str, Any]:
        """What to add about speed: that of every row, and of the first that a model draws."""
        by_model = sorted(self.rows, key=lambda row: row.source != "model")
        measured = [speeds[row.name] for row in by_model if row.name in speeds]
        return {"speed": measured[0] if measured else None, "speeds": dict(speeds)}

    def _metrics(self) -> list[Metric]:
        metrics = [column.metric for column in self.missing]
        metrics += [metric for scorer in self.scorers for metric in scorer.metrics]
        return sorted(metrics, key=lambda metric: not metric.paper)

    def _corpus(self, corpus: EvaluationCorpus, progress: Progress) -> dict[str, Any]:
        songs, all_files, incomplete = [], [], []
        for number in range(len(corpus)):
            song = corpus[number]
            files = files_of(self.root, corpus, song)
            scores = {row.name: self._of_song(files, row) for row in self.rows}
            if None in scores.values():
                incomplete.append(song.id)
            songs.append(self._song(files, scores, len(song.audio) / SAMPLE_RATE))
            all_files.append(files)
            progress.advance()
        if incomplete:
            got = f"{len(songs) - len(incomplete)} (not of {', '.join(incomplete)})"
            raise CorpusError(corpus.name, f"scores of {len(songs)} songs", got)
        return {
            "name": corpus.name,
            "split": corpus.split,
            "songs": len(corpus),
            "asked": corpus.asked,
            "seconds": sum(song["seconds"] for song in songs),
            "scores": {row.name: self._row(row, songs, all_files) for row in self.rows},
            "per_song": songs,
        }

    def _of_song(self, files: SongFiles, row: Row) -> dict[str, Score] | None:
        """All scores of one song, by metric; None if some are missing."""
        stored = files.read_scores(row)
        if any(scorer.id not in stored for scorer in self.scorers):
            return None
        return {name: score for scorer in self.scorers for name, score in stored[scorer.id].items()}

    def _song(
        self, files: SongFiles, scores: Mapping[str, Mapping[str, Score] | None], seconds: float
    ) -> dict[str, Any]:
        found = {name: score or {} for name, score in scores.items()}
        return {
            "song": files.song,
            "seconds": seconds,
            "scores": {row: {k: v.whole for k, v in by.items()} for row, by in found.items()},
            "minutes": {row: {k: v.minutes for k, v in by.items()} for row, by in found.items()},
            "media": {
                row.name: files.audio(row).relative_to(self.root).as_posix() for row in self.rows
            },
        }

    def _row(
        self, row: Row, songs: Sequence[Mapping[str, Any]], files: Sequence[SongFiles]
    ) -> dict[str, Value]:
        scores: dict[str, Value] = {}
        for scorer in self.scorers:
            if isinstance(scorer, EmbeddingScorer):
                scores |= self._embedding(row, scorer, files)
                continue
            for metric in scorer.metrics:
                values = [song["scores"][row.name][metric.name] for song in songs]
                replicates = self.settings.replicates
                interval = bootstrap_mean(values, replicates=replicates) if replicates else None
                scores[metric.name] = _value(float(np.mean(values)), interval)
        return scores

    def _embedding(
        self, row: Row, scorer: EmbeddingScorer, files: Sequence[SongFiles]
    ) -> dict[str, Value]:
        songs = [
            SongEmbeddings(
                read_array(one.embedding(row, scorer.id)),
                read_array(one.embedding(None, scorer.id)),
            )
            for one in files
        ]
        scores = score_corpus(songs, expected_songs=len(files), replicates=self.settings.replicates)
        reconstruction, frechet = scorer.metrics
        infinity = scores.frechet_at_infinity
        return {
            reconstruction.name: _value(
                scores.reconstruction, scores.reconstruction_interval, frames=scores.frames
            ),
            frechet.name: _value(
                scores.frechet,
                scores.frechet_interval,
                extrapolated=infinity.value if infinity else None,
                frames=scores.frames,
            ),
        }


def _value(
    value: float,
    interval: Interval | None,
    *,
    extrapolated: float | None = None,
    frames: int | None = None,
) -> Value:
    return {
        "value": value,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "extrapolated": extrapolated,
        "frames": frames,
    }


def _mean_of_corpora(row: str, corpora: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Corpora count alike, however many songs they have, as in the paper's table 1."""
    names: Iterable[str] = corpora[0]["scores"][row]
    return {
        name: float(np.mean([corpus["scores"][row][name]["value"] for corpus in corpora]))
        for name in names
    }
