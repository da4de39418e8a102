"""Preferences of listeners: the answers of a listening test, joined with its key."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spectrodiff.core.errors import ReportError
from spectrodiff.evaluation.dataclass_json import read_dataclass
from spectrodiff.report.listening import KEY_FORMAT, Key

_COLUMNS = ("sheet", "listener", "song", "left", "right", "answer")


@dataclass(frozen=True)
class Preference:
    """Preferences between two models.

    Attributes:
        first: folder of the report of the first model.
        second: folder of the report of the second model.
        first_better: number of answers that prefer the first.
        same: number of answers "no difference".
        second_better: number of answers that prefer the second.
        p_value: p-value of the two-sided sign test that both are preferred equally often, without
            the answers "no difference". Answers of one listener count as independent.
    """

    first: str
    second: str
    first_better: int
    same: int
    second_better: int
    p_value: float


def tally(key: Path, answers: Sequence[Path]) -> list[Preference]:
    """Counts the answers of all listeners.

    If a listener answered a comparison in several files, only the answer in the last file counts.

    Args:
        key: key that `write_listening_sheet` wrote beside its folder.
        answers: files that listeners downloaded.

    Returns:
        One entry per pair of reports with answers.

    Raises:
        ReportError: if a file is missing, damaged, or belongs to another sheet.
    """
    from scipy.stats import binomtest

    sheet = read_dataclass(Key, key, KEY_FORMAT, "the key of a listening sheet")
    latest: dict[tuple[str, frozenset[str]], dict[str, str]] = {}
    for path in answers:
        for line in _read_answers(path, sheet):
            latest[line["listener"], frozenset((line["left"], line["right"]))] = line
    counts: dict[tuple[str, str], Counter[str]] = {}
    for line in latest.values():
        left, right = sheet.files[line["left"]].report, sheet.files[line["right"]].report
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


def _read_answers(path: Path, sheet: Key) -> list[dict[str, str]]:
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
        if line["sheet"] != sheet.sheet:
            raise ReportError(where, f"answers to the sheet {sheet.sheet}", repr(line["sheet"]))
        for side in ("left", "right"):
            if line[side] not in sheet.files:
                raise ReportError(where, f"audio of the sheet on the {side}", repr(line[side]))
        if line["answer"] not in ("left", "right", "same"):
            raise ReportError(where, "the answer left, right or same", repr(line["answer"]))
    return lines
