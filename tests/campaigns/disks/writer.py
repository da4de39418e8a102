"""Writers that a campaign tries on full disks, and their materials."""

import dataclasses
import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

from spectrodiff.commands import program
from tests.campaigns import harness
from tests.support.corpora import write_notes, write_tone
from tests.support.servers import FileServer

GOLDEN = harness.ROOT / "tests" / "golden"
SONG = GOLDEN / "midi" / "overlaps.mid"
MODEL = GOLDEN / "checkpoints" / "diffusers"


class CommandError(Exception):
    """Last line of a command that ended with exit status 1."""


@dataclasses.dataclass(frozen=True)
class Writer:
    """A function or command that writes.

    Attributes:
        write: writes to a folder, with the materials.
        before: writes what must be in the folder before, while there is room.
        replaces: writes a second time over what is there.
        free: patterns of files whose contents differ from time to time.
        kept: patterns of files that may be there incomplete, since a second attempt goes on.
        growing: patterns of files to which lines are added, some of which may be missing.
        optional: patterns of files that may be missing, without an error.
        read: reads what is compared, by name, from the folder; by default files and their contents.
    """

    write: Callable[[Path, "Materials"], object]
    before: Callable[[Path, "Materials"], object] | None = None
    replaces: bool = True
    free: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    read: Callable[[Path], dict[str, bytes]] | None = None


class Materials:
    """Files and values that writers read, made when they are needed.

    Args:
        home: folder with room.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @functools.cached_property
    def audio(self) -> np.ndarray:
        """Three seconds of noise."""
        return np.random.default_rng(0).uniform(-0.5, 0.5, 48_000).astype(np.float32)

    @functools.cached_property
    def log_mel(self) -> np.ndarray:
        """Random features."""
        return np.random.default_rng(1).uniform(-6, 3, (150, 128)).astype(np.float32)

    @functools.cached_property
    def pairs(self) -> Path:
        """Folder of recordings with notes."""
        for number in range(3):
            name = self.home / "pairs" / "train" / str(number)
            write_tone(name.with_suffix(".wav"), 1.5, hertz=220 * (number + 1))
            notes = [(0.1 * i, 0.1 * i + 0.09, 40 + 7 * number + i) for i in range(12)]
            write_notes(name.with_suffix(".mid"), *notes)
        for part in ("validation", "test"):
            write_tone(self.home / "pairs" / part / "last.wav", 0.6)
            write_notes(self.home / "pairs" / part / "last.mid", (0.1, 0.3, 60))
        return self.home / "pairs"

    @functools.cached_property
    def data(self) -> Path:
        """Folder of a prepared corpus, pairs/own."""
        command("prepare", "pairs", "--source", self.pairs, "--data_dir", self.home / "data")
        return self.home / "data"

    @functools.cached_property
    def server(self) -> FileServer:
        """Serves files of this machine."""
        return FileServer()

    @functools.cached_property
    def inverter(self) -> Path:
        """File of an inverter."""
        from spectrodiff.inverter.files import save_inverter
        from tests.support.inverters import random_inverter

        path = self.home / "inverter.safetensors"
        save_inverter(random_inverter("tiny"), path)
        return path

    def close(self) -> None:
        """Ends the server."""
        if "server" in vars(self):
            self.server.close()


def command(*words: object) -> None:
    """Runs a command in this process.

    Raises:
        CommandError: if its exit status is 1.
        AssertionError: if it has another one, or prints a traceback or several lines of errors.
    """
    with Captured() as captured:
        status = program.run(program.main, list(map(str, words)))
    text = captured.text
    for sign in ("Traceback", "Exception ignored"):
        assert sign not in text, f"{sign} of {words[0]}:\n{text}"
    lines = text.strip().splitlines()
    assert status in (0, 1), f"exit status {status} of {words[0]}:\n{text}"
    if status:
        assert lines[-1].startswith("error: "), text
        raise CommandError(lines[-1])


_END = b"\0end of a capture\0"


class Captured:
    """Standard output and error of this process within a block.

    A pipe takes them, to which limits on files do not apply. Processes that were started within the
    block may live on and hold the pipe.
    """

    text = ""

    def __enter__(self) -> Self:
        self._read, write = os.pipe()
        self._before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(write, number)
        os.close(write)
        self._thread = threading.Thread(target=self._take)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.write(1, _END)
        for number, before in zip((1, 2), self._before, strict=True):
            os.dup2(before, number)
            os.close(before)
        self._thread.join()

    def _take(self) -> None:
        taken = b""
        while not taken.endswith(_END):
            taken += os.read(self._read, 1 << 16)
        os.close(self._read)
        self.text = taken.removesuffix(_END).decode(errors="replace")
