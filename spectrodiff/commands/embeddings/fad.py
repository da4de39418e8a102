"""Command `fad`: Frechet audio distance of two folders."""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_seed, natural
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result
from spectrodiff.core.errors import ConfigError, printable
from spectrodiff.core.files import local_name, local_path

if TYPE_CHECKING:
    from spectrodiff.evaluation.folders.distance import FolderDistance, Side
    from spectrodiff.evaluation.metrics.embeddings.embedding import Embedding

CSV_COLUMNS = (
    "embedding",
    "file",
    "distance",
    "low",
    "high",
    "infinity",
    "files",
    "frames",
    "reference_files",
    "reference_frames",
)
LOG_MEL_REMARK = "needs no weights; comparable only with itself"


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = parse_flags(arguments)
    if flags.csv and flags.json:
        raise ConfigError("--json", "one of --json and --csv", "both")
    # Imported here so that --help is fast.
    from spectrodiff.evaluation.folders.distance import folder_distance

    embeddings = _open_embeddings(flags)
    results = [
        folder_distance(
            flags.evaluated,
            flags.reference,
            embedding,
            checksum=checksum,
            per_file=flags.per_file,
            cache=flags.cache,
            skip_damaged=flags.skip_damaged,
            replicates=flags.replicates,
            seed=flags.seed,
            progress=True,
        )
        for embedding, checksum in embeddings
    ]
    if flags.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(CSV_COLUMNS)
        writer.writerows(row for result in results for row in csv_rows(result))
        return
    for result, (embedding, _) in zip(results, embeddings, strict=True):
        print_result(flags, "\n".join(describe(result, _remark(embedding))), result)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog=usage_name("fad"),
        description="Computes the Frechet audio distance (FAD) of two folders of audio files of "
        "any rate. Without an embedding, statistics of log-mel spectrograms are compared: they "
        "need no weights, and their distances are comparable only with themselves.",
    )
    add = parser.add_argument
    add(
        "evaluated",
        type=local_path,
        metavar="A",
        help="what is evaluated: a folder of audio files, with subfolders; a folder of embeddings "
        "(.npy, [frames, dims]); or an .npz file with mu and cov of an embedding",
    )
    add("reference", type=local_path, metavar="B", help="what it is compared with, likewise")
    vggish = "VGGish: a file of weights or a TF-Hub SavedModel"
    add("--vggish", type=local_name, metavar="WEIGHTS", help=vggish)
    trill = "TRILL: a TF-Hub SavedModel; needs TensorFlow"
    add("--trill", type=local_name, metavar="FOLDER", help=trill)
    add(
        "--onnx",
        type=local_name,
        action="append",
        default=[],
        metavar="FILE",
        help="an embedding in an ONNX file, such as export-embedding writes; can be repeated",
    )
    add("--per_file", action="store_true", help="also the distance of each file of A to B")
    add("--csv", action="store_true", help="print a table in CSV")
    keys = "embedding, distance, interval, extrapolated (FAD-infinity), evaluated, reference, "
    add_json(parser, f"{keys}per_file and damaged", each="embedding")
    add("--cache", type=local_path, metavar="DIR", help="folder in which embeddings are kept")
    add("--skip_damaged", action="store_true", help="leave out files that cannot be read")
    add(
        "--replicates",
        type=natural,
        default=200,
        help="replicates of the bootstrap for the interval; 0 for none (default: %(default)s)",
    )
    add_seed(parser, "the bootstrap and of FAD-infinity")
    return parser.parse_args(arguments)


def describe(result: "FolderDistance", remark: str = "") -> Iterator[str]:
    """Yields the lines that say what was found, with a remark about the embedding."""
    yield printable(result.embedding + (remark and f" ({remark})"))
    interval = ""
    if result.interval:
        interval = f"   95 % {result.interval.low:.6g} to {result.interval.high:.6g}"
    yield f"  distance      {result.distance:.6g}{interval}"
    if result.extrapolated is None:
        yield "  FAD-infinity  -   (too few frames, or no clear law to extrapolate by)"
    else:
        yield f"  FAD-infinity  {result.extrapolated:.6g}"
    yield f"  A             {_describe_side(result.evaluated)}"
    yield f"  B             {_describe_side(result.reference)}"
    if result.damaged:
        yield f"  left out      {len(result.damaged)} damaged"
    for name, distance in sorted(result.per_file.items(), key=lambda item: -item[1]):
        yield f"  {distance:<12.6g}  {printable(name)}"


def csv_rows(result: "FolderDistance") -> Iterator[Sequence[object]]:
    """Yields the row of both folders, and those of single files."""
    interval = result.interval
    yield (
        plain_text(result.embedding),
        "",
        result.distance,
        interval.low if interval else None,
        interval.high if interval else None,
        result.extrapolated,
        result.evaluated.files,
        result.evaluated.frames,
        result.reference.files,
        result.reference.frames,
    )
    for name, distance in result.per_file.items():
        reference = (result.reference.files, result.reference.frames)
        texts = (plain_text(result.embedding), plain_text(printable(name)))
        yield (*texts, distance, None, None, None, 1, None, *reference)


def plain_text(name: str) -> str:
    """Returns a name with an apostrophe before what spreadsheets would take for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def _remark(embedding: "Embedding | None") -> str:
    """Returns the weights of an embedding in an ONNX file, or a warning about log-mel."""
    from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics
    from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding

    if isinstance(embedding, LogMelStatistics):
        return LOG_MEL_REMARK
    return embedding.source if isinstance(embedding, OnnxEmbedding) else ""


def _describe_side(side: "Side") -> str:
    if not side.files:
        return "statistics"
    files = f"{side.files} file{'s' * (side.files > 1)}"
    return f"{files}, {side.frames} frame{'s' * (side.frames != 1)}"


def _open_embeddings(
    flags: argparse.Namespace,
) -> list[tuple["Embedding | None", str | None]]:
    """Opens the embeddings that the flags ask for, with the checksums of their weights."""
    from spectrodiff.evaluation.checksums import path_checksum
    from spectrodiff.evaluation.folders.sources import is_audio
    from spectrodiff.evaluation.metrics.embeddings.embedding import load_trill, load_vggish
    from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics
    from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding

    loaders: list[tuple[Callable[[str], Embedding], str]] = [
        *([(load_vggish, flags.vggish)] if flags.vggish else []),
        *([(load_trill, flags.trill)] if flags.trill else []),
        *((OnnxEmbedding, path) for path in flags.onnx),
    ]
    if loaders:
        return [(load(path), path_checksum(path)) for load, path in loaders]
    if any(is_audio(path) for path in (flags.evaluated, flags.reference)):
        return [(LogMelStatistics(), None)]
    return [(None, None)]
