"""What listeners preferred: the answers of a listening sheet, joined with its key."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import ReportError
from spectrodiff.report.listening import KEY_FORMAT

_COLUMNS = ("sheet", "listener", "song", "left", "right", "answer")


@dataclass(frozen=True)
class Preference:
    """How often one of two models was preferred.

    Attributes:
        first: folder of a report.
        second: folder of the other.
        first_better: number of answers that prefer the first.
        same: number of answers that hear no difference.
        second_better: number of answers that prefer the second.
        p_value: of the two-sided sign test of both being preferred equally often, without the
            answers that hear no difference; answers of one listener count as independent.
    """

    first: str
    second: str
    first_better: int
    same: int
    second_better: int
    p_value: float


def tally(key: Path, answers: Sequence[Path]) -> list[Preference]:
    """Counts the answers of all listeners.

    An answer that stands in several files, as it does when a listener exports twice, counts once:
    as it is in the last of them.

    Args:
        key: what `write_listening_sheet` wrote beside its folder.
        answers: the files that listeners downloaded.

    Returns:
        One entry for every two reports with answers.

    Raises:
        ReportError: if a file is missing, is no such file, or is of another sheet.
    """
    from scipy.stats import binomtest

    sheet, files = _read_key(key)
    latest: dict[tuple[str, frozenset[str]], dict[str, str]] = {}
    for path in answers:
        for line in _read_answers(path, sheet, files):
            latest[line["listener"], frozenset((line["left"], line["right"]))] = line
    counts: dict[tuple[str, str], Counter[str]] = {}
    for line in latest.values():
        left, right = files[line["left"]]["report"], files[line["right"]]["report"]
        first, second = sorted((left, right))
        preferred = {"left": left, "right": right, "same": ""}[line["answer"]]
        counts.setdefault((first, second), Counter())[preferred] += 1
    preferences = []
    for (first, second), counter in sorted(counts.items()):
        decided = counter[first] + counter[second]
        p_value = float(binomtest(counter[first], decided).pvalue) if decided else 1.0
        preferences.append(
            Preference(first, second, counter[first], counter[""], counter[second], p_value)
        )
    return preferences


def _read_key(path: Path) -> tuple[str, dict[str, dict[str, str]]]:
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != KEY_FORMAT:
            raise ReportError(f"{path}: format", str(KEY_FORMAT), repr(content["format"]))
        return str(content["sheet"]), dict(content["files"])
    except FileNotFoundError:
        raise ReportError(path, "the key of a listening sheet", "no such file") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(path, "the key of a listening sheet", repr(error)) from None


def _read_answers(path: Path, sheet: str, files: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise ReportError(path, "answers to a listening sheet", "no such file") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ReportError(path, "answers to a listening sheet", str(error)) from None
    for number, line in enumerate(lines, start=2):
        where = f"{path}: line {number}"
        missing = [column for column in _COLUMNS if line.get(column) is None]
        if missing:
            raise ReportError(where, f"a column {missing[0]!r}", "none")
        if line["sheet"] != sheet:
            raise ReportError(where, f"answers to the sheet {sheet}", repr(line["sheet"]))
        for side in ("left", "right"):
            if line[side] not in files:
                raise ReportError(where, f"audio of the sheet on the {side}", repr(line[side]))
        if line["answer"] not in ("left", "right", "same"):
            raise ReportError(where, "the answer left, right or same", repr(line["answer"]))
    return lines
