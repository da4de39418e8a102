"""Summary of a preparation: counts of recordings written and left out."""

import dataclasses
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from spectrodiff.core.errors import CorpusError, first_line, printable
from spectrodiff.core.json_files import json_of, write_json
from spectrodiff.data.recordings import Outcome, Plan, Remark, Skip
from spectrodiff.data.source import SUMMARY_FILE

_NAMES_SHOWN = 3
_LINES_SHOWN = 100


@dataclasses.dataclass
class Summary:
    """Counts of a preparation, updated while a corpus is prepared.

    Attributes:
        recordings: number of recordings of each split.
        seconds: duration of the audio of each split.
        notes: number of notes of each split.
        skipped: recordings left out, with reasons.
        remarks: counts of other omissions and changes.
        remarked: omissions and changes of each recording.
    """

    recordings: Counter[str] = dataclasses.field(default_factory=Counter)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: Counter[str] = dataclasses.field(default_factory=Counter)
    skipped: list[Skip] = dataclasses.field(default_factory=list)
    remarks: Counter[str] = dataclasses.field(default_factory=Counter)
    remarked: list[Remark] = dataclasses.field(default_factory=list)

    @classmethod
    def of_plan(cls, plan: Plan) -> "Summary":
        """Returns a summary of the omissions of a plan."""
        splits = dict.fromkeys((split for split, groups in plan.splits.items() if groups), 0)
        return cls(Counter(splits), skipped=[*plan.skipped], remarks=+plan.remarks)

    def add(self, split: str, outcome: Outcome) -> None:
        """Adds the outcome of a group."""
        for recording in outcome.recordings:
            self.recordings[split] += 1
            self._add_seconds(split, recording.notes.total_seconds)
            self.notes[split] += len(recording.notes)
        self.skipped += outcome.skipped
        self.remarked += outcome.remarks
        for remark in outcome.remarks:
            self.remarks[remark.text] += remark.number

    def merge(self, stored: dict[str, Any]) -> None:
        """Adds the counts of another summary, given as stored in JSON."""
        for name in ("recordings", "notes", "remarks"):
            getattr(self, name).update(stored[name])
        for split, seconds in stored["seconds"].items():
            self._add_seconds(split, seconds)
        self.skipped += [Skip(**skip) for skip in stored["skipped"]]
        # Not stored by older versions.
        self.remarked += [Remark(**remark) for remark in stored.get("remarked", ())]

    def check_plan(self, corpus: str) -> None:
        """Checks that a plan has recordings.

        Raises:
            CorpusError: if it has none; the message gives the reasons.
        """
        if not self.recordings:
            raise CorpusError(corpus, "usable recordings", self._reasons())

    def check(self, corpus: str) -> None:
        """Checks that each split has recordings.

        Raises:
            CorpusError: if a split has none; the message gives the reasons.
        """
        for split, number in self.recordings.items():
            if not number:
                raise CorpusError(f"{corpus}, split {split}", "usable recordings", self._reasons())

    def save(self, path: Path) -> None:
        """Writes the counts to a JSON file."""
        lists = {
            name: [dataclasses.asdict(item) for item in getattr(self, name)]
            for name in ("skipped", "remarked")
        }
        write_json(path, {**vars(self), **lists})

    @classmethod
    def load(cls, path: Path) -> "Summary":
        """Reads the counts from a JSON file.

        Raises:
            CorpusError: if it is missing or damaged.
        """
        summary = cls()
        try:
            summary.merge(json_of(path))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            got = f"{first_line(error)}; delete {path.parent} and prepare it anew"
            raise CorpusError(path, "the summary of a prepared corpus", got) from error
        return summary

    def table(self) -> str:
        """Formats recordings, hours and notes by split, and the omissions with their reasons."""
        lines = [f"{'split':<12}{'recordings':>12}{'hours':>10}{'notes':>12}"]
        for split, number in self.recordings.items():
            hours = f"{self.seconds.get(split, 0.0) / 3600:.3f}"
            lines.append(f"{split:<12}{number:>12}{hours:>10}{self.notes[split]:>12}")
        if self.skipped:
            lines.append(f"skipped {len(self.skipped)}:")
            lines += [f"  {line}" for line in self._skip_lines()]
        lines += [f"{number} {remark}" for remark, number in self.remarks.most_common()]
        return "\n".join(lines)

    def listing(self) -> str:
        """Formats what was left out, and what was done to recordings, one line for each."""
        lines = [
            f"{skip.id}: left out, {skip.reason}" + (f" ({skip.detail})" if skip.detail else "")
            for skip in self.skipped
        ]
        for remark in self.remarked:
            number = f"{remark.number} " if remark.number > 1 else ""
            detail = f" ({remark.detail})" if remark.detail else ""
            lines.append(f"{remark.id}: {number}{remark.text}{detail}")
        listed = sorted(map(printable, lines))
        if len(listed) > _LINES_SHOWN:
            more = f"{len(listed) - _LINES_SHOWN} more are listed in {SUMMARY_FILE}"
            listed = [*listed[:_LINES_SHOWN], more]
        return "\n".join(listed)

    def _add_seconds(self, split: str, seconds: float) -> None:
        self.seconds[split] = self.seconds.get(split, 0.0) + seconds

    def _reasons(self) -> str:
        return "; ".join(["none", *self._skip_lines()])

    def _skip_lines(self) -> list[str]:
        """Returns one line per reason with the number of skips and the first few names."""
        names: dict[str, list[str]] = defaultdict(list)
        for skip in self.skipped:
            names[skip.reason].append(skip.id)
        return [
            f"{len(ids)} {reason} ({', '.join(sorted(map(printable, ids))[:_NAMES_SHOWN])}"
            f"{', ...' if len(ids) > _NAMES_SHOWN else ''})"
            for reason, ids in sorted(names.items(), key=lambda item: -len(item[1]))
        ]
