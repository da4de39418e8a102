"""From what is asked for to what can be measured: scorers, and columns that have to stay empty."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from spectrodiff.checkpoints.layouts.mt3 import PUBLISHED as MT3_PUBLISHED
from spectrodiff.core.errors import ConfigError
from spectrodiff.evaluation import checksums
from spectrodiff.evaluation.columns import F1, Metric, embedding_metrics
from spectrodiff.evaluation.metrics.embeddings import Embedding, load_trill, load_vggish
from spectrodiff.evaluation.metrics.log_mel_statistics import LogMelStatistics
from spectrodiff.evaluation.metrics.onnx_embedding import OnnxEmbedding
from spectrodiff.evaluation.metrics.tf_hub import TRILL, VGGISH
from spectrodiff.evaluation.metrics.transcriber import load_mt3
from spectrodiff.evaluation.scorers import (
    EmbeddingScorer,
    Scorer,
    SignalScorer,
    TranscriptionScorer,
)
from spectrodiff.evaluation.settings import Evaluation

logger = logging.getLogger(__name__)

BASIC_PITCH = "basic_pitch"


@dataclasses.dataclass(frozen=True)
class Missing:
    """A column that stays empty.

    Attributes:
        metric: the column.
        file: the weights that it needs, as they were given.
        published: where they are published.
        reason: why it is empty.
    """

    metric: Metric
    file: str
    published: str
    reason: str


def open_scorers(settings: Evaluation) -> tuple[list[Scorer], list[Missing]]:
    """Opens all that is asked for; weights that are not there are reported, not raised.

    Raises:
        CheckpointError: if weights are there but cannot be used.
    """
    scorers: list[Scorer] = [SignalScorer(), EmbeddingScorer(LogMelStatistics())]
    missing: list[Missing] = []
    for name, source, published, load in (
        (VGGISH.name, settings.vggish, VGGISH.url, load_vggish),
        (TRILL.name, settings.trill, TRILL.url, load_trill),
    ):
        setting = f"Evaluation.{name.lower()}"
        if reason := _why_not(source, setting):
            missing += _report(name, source, published, reason, embedding_metrics(name))
        else:
            assert source is not None
            scorers.append(_embedding_scorer(load, source))
    scorers += [_embedding_scorer(OnnxEmbedding, path) for path in settings.onnx]
    transcriber = settings.transcriber
    if transcriber == BASIC_PITCH:
        from spectrodiff.evaluation.metrics.basic_pitch import BasicPitch

        scorers.append(TranscriptionScorer(BasicPitch(), "package", programs=False))
        reason = "basic-pitch tells neither instruments nor drums"
        missing += _report("MT3", None, MT3_PUBLISHED, reason, list(F1.values()))
    elif reason := _why_not(transcriber, "Evaluation.transcriber"):
        missing += _report("MT3", transcriber, MT3_PUBLISHED, reason, list(F1.values()))
    else:
        assert transcriber is not None
        checksum = checksums.of_path(transcriber)
        scorers.append(TranscriptionScorer(load_mt3(transcriber), checksum, programs=True))
    _check_names(scorers)
    return scorers, missing


def _embedding_scorer(load: Callable[[str], Embedding], source: str) -> EmbeddingScorer:
    return EmbeddingScorer(load(source), checksums.of_path(source))


def _why_not(source: str | None, setting: str) -> str | None:
    """Why weights cannot be loaded; None if they are there."""
    if source is None:
        return f"{setting} names no weights"
    is_url = source.startswith(("http://", "https://"))
    return None if is_url or Path(source).exists() else "no such file or folder"


def _report(
    name: str, source: str | None, published: str, reason: str, metrics: Sequence[Metric]
) -> list[Missing]:
    """Says once which columns stay empty, and why."""
    columns = ", ".join(repr(metric.title) for metric in metrics)
    file = source or f"the weights of {name}"
    logger.warning(
        "%s: %s; published at %s; the columns %s stay empty", file, reason, published, columns
    )
    return [Missing(metric, file, published, reason) for metric in metrics]


def _check_names(scorers: Sequence[Scorer]) -> None:
    seen = {metric.name for name in (VGGISH.name, TRILL.name) for metric in embedding_metrics(name)}
    for scorer in scorers:
        names = {metric.name for metric in scorer.metrics}
        ours = isinstance(scorer, EmbeddingScorer) and scorer.name in (VGGISH.name, TRILL.name)
        if not ours and names & seen:
            expected = "files with names that no other embedding has"
            raise ConfigError("Evaluation.onnx", expected, scorer.id)
        seen |= names
