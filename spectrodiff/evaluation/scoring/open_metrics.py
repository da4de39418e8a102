"""Opening of the metrics that the settings ask for; a metric without its weights is reported."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from spectrodiff.checkpoints.layouts.mt3 import PUBLISHED as MT3_PUBLISHED
from spectrodiff.core.errors import ConfigError
from spectrodiff.evaluation.checksums import path_checksum
from spectrodiff.evaluation.columns import DRUM_F1, F1, NONDRUM_F1, Column, embedding_columns
from spectrodiff.evaluation.metrics.embeddings.embedding import Embedding, load_trill, load_vggish
from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics
from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding
from spectrodiff.evaluation.metrics.embeddings.tf_hub import TRILL, VGGISH, is_url
from spectrodiff.evaluation.metrics.transcription.transcribe import BASIC_PITCH, open_transcriber
from spectrodiff.evaluation.scoring.embedding import EmbeddingMetric
from spectrodiff.evaluation.scoring.metric import Metric
from spectrodiff.evaluation.scoring.signal import SignalMetric
from spectrodiff.evaluation.scoring.transcription import TranscriptionMetric
from spectrodiff.evaluation.settings import Evaluation

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class MissingMetric:
    """Metric that cannot be computed, so its columns stay empty.

    Attributes:
        columns: columns that it would fill.
        file: weights that it needs, as given in the settings.
        published: address where these weights are published.
        reason: reason why it cannot be computed.
    """

    columns: Sequence[Column]
    file: str
    published: str
    reason: str


def open_metrics(settings: Evaluation) -> tuple[list[Metric], list[MissingMetric]]:
    """Opens the metrics of an evaluation; missing weights are logged and returned, not raised.

    Raises:
        CheckpointError: if weights are damaged.
        ConfigError: if an embedding in `onnx` has the name of another embedding.
    """
    metrics: list[Metric] = [SignalMetric(), EmbeddingMetric(LogMelStatistics())]
    missing: list[MissingMetric] = []
    for name, source, published, load in (
        (VGGISH.name, settings.vggish, VGGISH.url, load_vggish),
        (TRILL.name, settings.trill, TRILL.url, load_trill),
    ):
        if reason := _why_missing(source, f"Evaluation.{name.lower()}"):
            columns = embedding_columns(name)
            missing.append(_missing(name, source, published, reason, columns))
        else:
            assert source is not None
            metrics.append(_embedding_metric(load, source))
    metrics += _onnx_metrics(settings.onnx, {*_column_names(metrics), *_column_names(missing)})
    transcriber = settings.transcriber
    f1 = [*F1.values(), NONDRUM_F1, DRUM_F1]
    if transcriber == BASIC_PITCH:
        metrics.append(TranscriptionMetric(open_transcriber(transcriber), "package"))
        reason = "basic-pitch recognizes neither instruments nor drums"
        missing.append(_missing("MT3", None, MT3_PUBLISHED, reason, f1))
    elif reason := _why_missing(transcriber, "Evaluation.transcriber"):
        missing.append(_missing("MT3", transcriber, MT3_PUBLISHED, reason, f1))
    else:
        assert transcriber is not None
        checksum = path_checksum(transcriber)
        mt3 = open_transcriber(transcriber, batch_size=settings.transcriber_batch_size)
        metrics.append(TranscriptionMetric(mt3, checksum))
    return metrics, missing


def _embedding_metric(load: Callable[[str], Embedding], source: str) -> EmbeddingMetric:
    return EmbeddingMetric(load(source), path_checksum(source))


def _onnx_metrics(paths: Sequence[str], taken: set[str]) -> list[EmbeddingMetric]:
    """Opens embeddings in ONNX files; the names of their columns must not be taken."""
    metrics = []
    for path in paths:
        metric = _embedding_metric(OnnxEmbedding, path)
        names = _column_names([metric])
        if names & taken:
            expected = "files with names that no other embedding has"
            raise ConfigError("Evaluation.onnx", expected, metric.id)
        taken |= names
        metrics.append(metric)
    return metrics


def _column_names(metrics: Sequence[Metric | MissingMetric]) -> set[str]:
    return {column.name for metric in metrics for column in metric.columns}


def _why_missing(source: str | None, setting: str) -> str | None:
    """Returns the reason why weights cannot be loaded; None if they exist."""
    if source is None:
        return f"{setting} names no weights"
    return None if is_url(source) or Path(source).exists() else "no such file or folder"


def _missing(
    name: str, source: str | None, published: str, reason: str, columns: Sequence[Column]
) -> MissingMetric:
    """Logs that the columns of a metric stay empty, and returns it."""
    titles = ", ".join(repr(column.title) for column in columns)
    file = source or f"the weights of {name}"
    logger.warning(
        "%s: %s; published at %s; the columns %s stay empty", file, reason, published, titles
    )
    return MissingMetric(columns, file, published, reason)
