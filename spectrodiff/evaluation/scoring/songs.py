"""Scoring of all songs of an evaluation; what is stored is not scored again."""

from collections.abc import Sequence
from pathlib import Path

from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.metrics.inputs import check_pair
from spectrodiff.evaluation.protocol import EvaluationSong, Protocol
from spectrodiff.evaluation.scoring.metric import Comparison, Metric
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.songs import EvaluationCorpus
from spectrodiff.evaluation.store import SongFiles, files_of


def score_songs(
    metrics: Sequence[Metric],
    root: Path,
    rows: Sequence[Row],
    corpus: EvaluationCorpus,
    share: Sequence[int],
    *,
    progress: bool,
) -> None:
    """Scores all rows of some songs and stores the scores that are not stored yet.

    Args:
        metrics: the metrics.
        root: folder of the evaluation.
        rows: rows of the tables, whose audio is stored.
        corpus: corpus of the songs.
        share: numbers of the songs in the corpus.
        progress: whether to show progress.

    Raises:
        AudioError: if audio is damaged or its length differs from that of the recording.
    """
    with Progress(f"{corpus.name}: scores", len(share), "song", progress) as bar:
        for number in share:
            song = corpus[number]
            for row in rows:
                _score(metrics, files_of(root, corpus, song), row, song, corpus.protocol)
            bar.advance()


def _score(
    metrics: Sequence[Metric],
    files: SongFiles,
    row: Row,
    song: EvaluationSong,
    protocol: Protocol,
) -> None:
    stored = files.read_scores(row)
    missing = [metric for metric in metrics if metric.id not in stored]
    if not missing:
        return
    audio = files.read_audio(row)
    check_pair(audio, song.audio, f"{song.id}: {row.name}")
    comparison = Comparison(files, row, protocol.paired(audio, song), song, protocol)
    files.write_scores(row, stored | {metric.id: metric(comparison) for metric in missing})
