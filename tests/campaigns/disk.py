"""Full and failing disks at every writer.

An error names a file or folder and the reason. Nothing is there half written, and nothing of
temporary files; with room, a second attempt ends in what an undisturbed one writes.
"""

import atexit
import fnmatch
import functools
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import PARTIAL
from tests.campaigns.disks import device
from tests.campaigns.disks.commands import COMMANDS
from tests.campaigns.disks.device import Disk, Size
from tests.campaigns.disks.functions import FUNCTIONS
from tests.campaigns.disks.training import TRAINING
from tests.campaigns.disks.writer import Captured, CommandError, Materials, Writer
from tests.campaigns.harness import Campaign, Limits

WRITERS: dict[str, Writer] = {**FUNCTIONS, **COMMANDS, **TRAINING}
FREE_SPACE = "MB of free space"  # asked for before a download
ROOM, REPORTED, WENT_ON = "room enough", "reported", "went on"
ORBAX = ".orbax-checkpoint-tmp"
# Twice what is most like a full disk.
_KINDS = (device.FULL, device.FULL, *device.ERRORS)


class Attempt(NamedTuple):
    """A failure of the disk under a writer.

    Attributes:
        writer: its name.
        kind: of the failure.
        share: of what the writer needs, that there is room for.
        more: that there is room for beside, in units of the kind.
        again: the writer has written before.
    """

    writer: str
    kind: str
    share: float
    more: int
    again: bool


def make(seed: int) -> Attempt:
    """Returns the attempt of a seed: the writers one after the other."""
    rng = random.Random(seed)
    kind = rng.choice(_KINDS)
    share, more = rng.choice(
        ((0, 0), (0, rng.randint(1, 9)), (1, -1), (1, -rng.randint(2, 9)), (rng.random(), 0))
    )
    return Attempt(list(WRITERS)[seed % len(WRITERS)], kind, share, more, rng.random() < 0.25)


def attempt(made: Attempt) -> str:
    """Lets a writer fail and write again; returns what became of it.

    Raises:
        Exception: if anything is not as promised.
    """
    workshop = _workshop()
    disk, writer = workshop.disk, WRITERS[made.writer]
    kind = made.kind if made.kind in disk.kinds else device.LIMIT
    whole, size = workshop.undisturbed(made.writer)
    workshop.begin(writer)
    if made.again and writer.replaces:
        workshop.write(writer)
    before = workshop.tree(writer)
    room = max(0, int(made.share * size.of(kind)) + made.more)
    error = None
    with disk.failing(kind, room):
        try:
            workshop.write(writer)
        except (OutputError, CommandError) as raised:
            error = str(raised)
        failures = disk.failures()
    if error is not None:
        reason = os.strerror(device.ERRORS[kind])
        reasons = (reason, FREE_SPACE) if kind == device.FULL else (reason,)
        assert any(text in error for text in reasons), f"another reason than {reason}: {error}"
        assert str(disk.folder) in error, f"no file or folder: {error}"
    if kind != device.READ_ONLY:
        workshop.check_leftovers()
    now = workshop.tree(writer)
    for name, contents in now.items():
        if kind == device.READ_ONLY and PARTIAL in name:
            continue
        allowed = [tree[name] for tree in (whole, before) if name in tree]
        assert _is_one(name, contents, allowed, writer), f"{name} is half written"
    if error is None:
        missing = [name for name in whole.keys() - now.keys() if not _fits(name, writer.optional)]
        assert not missing, f"{missing} are missing without an error"
    assert before.keys() <= now.keys(), f"{before.keys() - now.keys()} are lost"
    if error is None and not writer.replaces:
        return WENT_ON if failures else ROOM
    workshop.write(writer)
    again = {k: v for k, v in workshop.tree(writer).items() if k in whole or PARTIAL not in k}
    # The next run removes those of a failed one, whose threads may still have written.
    assert not list(disk.folder.rglob(f"*{ORBAX}*")), "incomplete checkpoints after another run"
    missing = [name for name in whole.keys() - again.keys() if not _fits(name, writer.optional)]
    assert not missing, f"{missing} are missing with room"
    for name, contents in again.items():
        assert whole.get(name) == contents, f"{name} differs with room"
    if error is not None:
        return REPORTED
    return WENT_ON if failures else ROOM


Tree = dict[str, bytes]


class Workshop:
    """A disk, what writers need, and what they write undisturbed."""

    def __init__(self) -> None:
        self.disk = Disk()
        atexit.register(self.disk.close)
        self.materials = Materials(self.disk.home)
        self._known: dict[str, tuple[Tree, Size]] = {}
        self._out, self._temporary = self.disk.folder / "out", self.disk.folder / "tmp"
        # For this process and those it starts.
        os.environ["SPECTRODIFF_CACHE"] = str(self.disk.home / "cache")
        os.environ["TMPDIR"] = tempfile.tempdir = str(self._temporary)

    def begin(self, writer: Writer) -> None:
        """Empties the disk, and writes what a writer finds there."""
        self.disk.clear()
        self._temporary.mkdir()
        if writer.before:
            writer.before(self._out, self.materials)

    def undisturbed(self, name: str) -> tuple[Tree, Size]:
        """Returns what a writer writes on a roomy disk, and the size of it."""
        if name not in self._known:
            writer = WRITERS[name]
            # Once before, for materials and compiled programs.
            for _ in range(2):
                self.begin(writer)
                before = self.disk.size()
                self.disk.count()
                self.write(writer)
            self._known[name] = self.tree(writer), self.disk.size().without(before)
            self.check_leftovers()
        return self._known[name]

    def write(self, writer: Writer) -> None:
        """Writes; what is printed must be no traceback."""
        with Captured() as captured:
            writer.write(self._out, self.materials)
        for sign in ("Traceback", "Exception ignored"):
            assert sign not in captured.text, captured.text

    def tree(self, writer: Writer) -> Tree:
        """Returns what files there are; empty for contents that differ from time to time."""
        if writer.read:
            return writer.read(self._out)
        return {
            str(path.relative_to(self._out)): b""
            if _fits(str(path.relative_to(self._out)), writer.free)
            else path.read_bytes()
            for path in self._out.rglob("*")
            if path.is_file() and not _fits(str(path.relative_to(self._out)), writer.kept)
        }

    def check_leftovers(self) -> None:
        """Checks that there are no temporary files."""
        found = [path for path in self.disk.folder.rglob("*") if path.name.startswith(PARTIAL)]
        # TFDS removes its folder at the end of the process.
        found += (path for path in self._temporary.iterdir() if not path.name.endswith("tfds"))
        assert not found, f"left: {', '.join(str(path) for path in found)}"


@functools.cache
def _workshop() -> Workshop:
    return Workshop()


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _is_one(name: str, contents: bytes, allowed: list[bytes], writer: Writer) -> bool:
    if _fits(name, writer.growing):
        return any(one.startswith(contents) for one in allowed)
    return contents in allowed


def smaller(made: Attempt) -> Iterator[Attempt]:
    """Yields attempts with less room, without earlier files."""
    if made.again:
        yield made._replace(again=False)
    if made.share and made.more:
        yield made._replace(more=0)
    for share in (0.0, made.share / 2):
        if share < made.share:
            yield made._replace(share=share)


def store(made: Attempt, path: Path) -> None:
    """Writes what an attempt was."""
    path.with_suffix(".attempt").write_text(f"{made}\n")


CAMPAIGN = Campaign(
    make,
    attempt,
    Limits(seconds=600),
    smaller=smaller,
    store=store,
    # A process tries every writer several times, since the first time takes long.
    block=3 * len(WRITERS),
    words=device.environment_words,
)
