"""Preferences of listeners: the answers of a listening test, joined with its key."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectrodiff.core.errors import ReportError, first_line
from spectrodiff.core.json_files import csv_rows
from spectrodiff.evaluation.dataclass_json import read_dataclass
from spectrodiff.evaluation.metrics.paired import mean_interval, sign_flip_p_values
from spectrodiff.report.listening import KEY_FORMAT, Key

_COLUMNS = ("sheet", "listener", "song", "left", "right", "answer")


@dataclass(frozen=True)
class Preference:
    """Preferences between two models.

    Answers of one listener depend on each other, so listeners are what is tested and resampled.

    Attributes:
        first: folder of the report of the first model.
        second: folder of the report of the second model.
        first_better: number of answers that prefer the first.
        same: number of answers "no difference".
        second_better: number of answers that prefer the second.
        listeners: number of listeners.
        preference: mean over listeners of their preference for the first: answers for the first
            minus answers for the second, divided by all answers, in [-1, 1].
        low: lower end of its 95 % interval, a bootstrap over listeners; None for one listener.
        high: upper end of the interval.
        p_value: p-value of the two-sided sign-flip test that the preferences of listeners are
            zero on average. For one listener, of the sign test of the answers without "no
            difference", which says nothing about other listeners.
    """

    first: str
    second: str
    first_better: int
    same: int
    second_better: int
    listeners: int
    preference: float
    low: float | None
    high: float | None
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
    sheet = read_dataclass(Key, key, KEY_FORMAT, "the key of a listening sheet")
    latest: dict[tuple[str, frozenset[str]], dict[str, str]] = {}
    for path in answers:
        for line in _read_answers(path, sheet):
            latest[line["listener"], frozenset((line["left"], line["right"]))] = line
    # Answers of each listener by pair of reports: 1 for the first, -1 for the second, else 0.
    pairs: dict[tuple[str, str], dict[str, list[int]]] = {}
    for line in latest.values():
        left, right = sheet.files[line["left"]].report, sheet.files[line["right"]].report
        first, second = sorted((left, right))
        preferred = {"left": left, "right": right, "same": ""}[line["answer"]]
        value = {first: 1, second: -1}.get(preferred, 0)
        pairs.setdefault((first, second), {}).setdefault(line["listener"], []).append(value)
    return [
        _preference(first, second, list(by_listener.values()))
        for (first, second), by_listener in sorted(pairs.items())
    ]


def _preference(first: str, second: str, by_listener: Sequence[Sequence[int]]) -> Preference:
    # SciPy is not needed for a page.
    from scipy.stats import binomtest

    answers = [value for of_listener in by_listener for value in of_listener]
    better, same, worse = (answers.count(value) for value in (1, 0, -1))
    means = [float(np.mean(of_listener)) for of_listener in by_listener]
    interval = mean_interval([means])
    if len(means) > 1:
        p_value = float(sign_flip_p_values(np.array(means)[:, np.newaxis] / len(means))[0])
    else:
        p_value = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return Preference(
        first,
        second,
        better,
        same,
        worse,
        listeners=len(means),
        preference=float(np.mean(means)),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        p_value=p_value,
    )


def _read_answers(path: Path, sheet: Key) -> list[dict[str, str]]:
    try:
        lines = csv_rows(path)
    except FileNotFoundError:
        raise ReportError(path, "answers to a listening sheet", "no such file") from None
    except (OSError, ValueError) as error:
        raise ReportError(path, "answers to a listening sheet", first_line(error)) from None
    if not lines:
        raise ReportError(path, "answers to a listening sheet", "none")
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
