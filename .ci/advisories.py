"""Reports packages with known vulnerabilities, from a copy of the OSV database on this machine.

The copy is what OSV exports for PyPI: `all.zip`, or a folder with its JSON files. Nothing is asked
of a network; pip-audit, which knows more, has to ask one. It needs `packaging`.
"""

import argparse
import importlib.metadata
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
PINNED = [ROOT / "requirements.txt", ROOT / "requirements-build.txt"]
# Before all others: what OSV's "0" stands for.
FIRST = Version("0.dev0")

Pin = tuple[str, str]
"""Name of a package, normalized, and its version."""


@dataclass
class Advisory:
    """A known vulnerability of a package: its ids, the versions that mend it, and a summary."""

    ids: set[str]
    fixes: set[Version]
    summary: str

    def __str__(self) -> str:
        fixes = ", ".join(str(fix) for fix in sorted(self.fixes))
        fix = f"fixed in {fixes}" if fixes else "no fix is known"
        line = f"{' = '.join(sorted(self.ids))}; {fix}. {self.summary}".rstrip()
        return "".join(letter if letter.isprintable() else " " for letter in line)


def main() -> int:
    """Prints what is affected; returns 1 if something is, and 2 if the files cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path, help="all.zip of OSV's PyPI export, or a folder")
    checked = parser.add_mutually_exclusive_group()
    pinned_help = "files of pins to check; default: those of this checkout"
    checked.add_argument("--requirements", type=Path, nargs="+", default=PINNED, help=pinned_help)
    checked.add_argument("--installed", action="store_true", help="check what is installed")
    parser.add_argument("--ignore", nargs="+", default=[], metavar="ID", help="known and accepted")
    flags = parser.parse_args()
    try:
        pins = installed() if flags.installed else pinned(flags.requirements)
        entries = list(read_entries(flags.database, {name for name, _ in pins}))
        found = affected(pins, entries, set(flags.ignore))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for (name, version), advisories in sorted(found.items()):
        for advisory in advisories:
            print(f"{name} {version}: {advisory}")
    print(f"{len(found)} of {len(pins)} packages are affected; {len(entries)} advisories name them")
    return 1 if found else 0


def pinned(files: Iterable[Path]) -> set[Pin]:
    """Returns the pins of files, whatever their markers.

    Raises:
        ValueError: if a file pins nothing.
    """
    pins = set()
    for file in files:
        lines = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)", file.read_text(), re.MULTILINE)
        if not lines:
            raise ValueError(f"{file}: expected pins such as numpy==2.4.0, got none")
        pins |= {(canonicalize_name(name), version) for name, version in lines}
    return pins


def installed() -> set[Pin]:
    """Returns what is installed beside this program."""
    found = importlib.metadata.distributions()
    return {(canonicalize_name(each.metadata["Name"]), each.version) for each in found}


def read_entries(database: Path, names: set[str]) -> Iterator[dict[str, Any]]:
    """Yields the advisories that name one of the packages, without those that were withdrawn.

    Raises:
        ValueError: if there are none at all, or a file is none.
    """
    name = ""
    for name, text in _texts(database):
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{name}: expected JSON, got {error}") from None
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise ValueError(f"{name}: expected an OSV advisory, got no id")
        if not entry.get("withdrawn") and any(_package(part) in names for part in _parts(entry)):
            yield entry
    if not name:
        raise ValueError(f"{database}: expected JSON files of OSV advisories, got none")


def _texts(database: Path) -> Iterator[tuple[str, bytes]]:
    if database.is_dir():
        for file in sorted(database.rglob("*.json")):
            yield str(file), file.read_bytes()
        return
    with zipfile.ZipFile(database) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield f"{database}: {name}", archive.read(name)


def _parts(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return entry.get("affected") or []


def _package(part: Mapping[str, Any]) -> str:
    """Returns the normalized name of a package of PyPI, "" for others."""
    package = part.get("package") or {}
    is_ours = package.get("ecosystem", "").partition(":")[0] == "PyPI"
    return canonicalize_name(package.get("name", "")) if is_ours else ""


def affected(
    pins: set[Pin], entries: Iterable[dict[str, Any]], ignored: set[str]
) -> dict[Pin, list[Advisory]]:
    """Returns the advisories on each pin; those that share an id or alias are one."""
    found: dict[Pin, list[Advisory]] = {}
    for entry in entries:
        ids = {entry["id"], *(entry.get("aliases") or [])}
        for part in _parts(entry) if not ids & ignored else []:
            for pin in pins:
                version = public(pin[1])
                if pin[0] == _package(part) and is_affected(version, part):
                    fixes = {fix for each in ranges(part) for fix in _versions(each, "fixed")}
                    later = {fix for fix in fixes if fix > version}
                    advisory = Advisory(ids, later, entry.get("summary") or "")
                    found[pin] = _merged([*found.get(pin, []), advisory])
    return found


def _merged(advisories: list[Advisory]) -> list[Advisory]:
    """Returns advisories after joining the last one with those that share an id with it."""
    *others, last = advisories
    for other in [other for other in others if other.ids & last.ids]:
        others.remove(other)
        last = Advisory(
            other.ids | last.ids, other.fixes | last.fixes, other.summary or last.summary
        )
    return [*others, last]


def is_affected(version: Version, part: Mapping[str, Any]) -> bool:
    """Returns True if an entry of the list `affected` of an advisory lists or spans a version."""
    listed = (parsed(text) for text in part.get("versions") or [])
    return version in listed or any(_spans(each, version) for each in ranges(part))


def ranges(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the ranges of versions, without those of commits."""
    return [each for each in part.get("ranges") or [] if each.get("type") != "GIT"]


def _spans(span: Mapping[str, Any], version: Version) -> bool:
    """Returns True if the last event up to a version leaves it vulnerable.

    At the same version a fix comes before an introduction, and that before the end of what is
    affected.
    """
    limits = _versions(span, "limit")
    if limits and not any(version < limit for limit in limits):
        return False
    reached = [(at, 0) for at in _versions(span, "fixed") if version >= at]
    reached += [(at, 1) for at in _versions(span, "introduced") if version >= at]
    reached += [(at, 2) for at in _versions(span, "last_affected") if version > at]
    return max(reached, default=(FIRST, 0))[1] == 1


def _versions(span: Mapping[str, Any], kind: str) -> list[Version]:
    """Returns the versions of a kind of event; a fix that cannot be read mends nothing."""
    texts = [event[kind] for event in span.get("events") or [] if kind in event]
    if kind == "introduced":
        return [FIRST if text == "0" else parsed(text) or FIRST for text in texts]
    return [version for version in map(parsed, texts) if version]


def parsed(text: str) -> Version | None:
    """Returns a version; None if PEP 440 knows none such."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def public(text: str) -> Version:
    """Returns a version without its local part, which advisories do not know: 2.0 for 2.0+cpu.

    Raises:
        InvalidVersion: if it is none.
    """
    return Version(Version(text).public)


if __name__ == "__main__":
    sys.exit(main())
