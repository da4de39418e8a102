"""Damaged, odd and hostile checkpoints in all layouts, made from seeds.

A mutant is its layout and a list of changes, each with a seed of its own, so that changes can be
left out to find the one that matters.
"""

import dataclasses
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaigns.mutants import formats, hostile, mutations
from tests.campaigns.mutants.bases import bases


@dataclasses.dataclass(frozen=True)
class Sparse:
    """A file that begins and ends with some bytes, and has nothing between."""

    head: bytes
    tail: bytes
    size: int


@dataclasses.dataclass(frozen=True)
class Link:
    """A link."""

    target: str


@dataclasses.dataclass(frozen=True)
class Special:
    """A pipe or a folder."""

    kind: str


Content = bytes | Sparse | Link | Special
Files = dict[str, Content]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A damaged checkpoint.

    Attributes:
        layout: name of the base.
        changes: names and seeds of the changes, in their order.
        restored: files that are as in the base, whatever the changes do.
    """

    layout: str
    changes: tuple[tuple[str, int], ...]
    restored: frozenset[str] = frozenset()

    def files(self) -> Files:
        """Returns the files of the checkpoint."""
        base = bases()[self.layout]
        files: Files = dict(base)
        for name, seed in self.changes:
            _CHANGES[name](random.Random(seed), files)
        for path in self.restored & base.keys():
            files[path] = base[path]
        return files


def mutant(seed: int) -> Mutant:
    """Returns the checkpoint of a seed; layouts take turns, and the first of each is undamaged."""
    rng, layouts = random.Random(seed), sorted(bases())
    layout = layouts[seed % len(layouts)]
    if seed < len(layouts):
        return Mutant(layout, ())
    own = [name for name in _CHANGES if any(map(_IS_FOR.get(name, bool), bases()[layout]))]
    count = rng.choice((0, 1, 1, 1, 1, 1, 2, 2, 3, 5))
    changes = [(rng.choice(own), rng.getrandbits(32)) for _ in range(count)]
    if layout == "model" and rng.random() < 0.8:
        changes.append(("sizes", 0))
    return Mutant(layout, tuple(changes))


def smaller(made: Mutant) -> Iterator[Mutant]:
    """Yields mutants with fewer changes, then with fewer changed files."""
    for number in range(len(made.changes)):
        changes = made.changes[:number] + made.changes[number + 1 :]
        yield dataclasses.replace(made, changes=changes)
    files, base = made.files(), bases()[made.layout]
    changed = [path for path in base if files.get(path) != base[path]]
    for path in changed if len(changed) > 1 else ():
        yield dataclasses.replace(made, restored=made.restored | {path})


def write(files: Files, folder: Path) -> None:
    """Writes the files below a folder, as far as their names are possible."""
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif isinstance(content, Link):
                path.symlink_to(content.target)
            elif isinstance(content, Special):
                os.mkfifo(path) if content.kind == "pipe" else path.mkdir()
            else:
                _write_sparse(content, path)
        except (OSError, ValueError):
            continue  # of two names, one is the folder of the other


def _write_sparse(content: Sparse, path: Path) -> None:
    with path.open("wb") as file:
        file.write(content.head)
        file.truncate(content.size)
        file.seek(content.size - len(content.tail))
        file.write(content.tail)


# Choice of a file -----------------------------------------------------------------------------


def _is_json(path: str) -> bool:
    return path.endswith((".json", ".zarray", "_METADATA", "metadatas"))


def _is_pickle(path: str) -> bool:
    return path.endswith((".bin", ".pdparams", ".pth"))


def _is_zip(path: str) -> bool:
    return path.endswith((".zip", ".npz")) or _is_pickle(path)


def _is_chunk(path: str) -> bool:
    return "/target." in path and not _is_json(path)


_IS_FOR: dict[str, Callable[[str], bool]] = {
    "json": _is_json,
    "zarr": lambda path: path.endswith(".zarray"),
    "chunk": _is_chunk,
    "msgpack": lambda path: path.endswith("/checkpoint"),
    "gin": lambda path: path.endswith(".gin"),
    "pickle": _is_pickle,
    "safetensors": lambda path: path.endswith(".safetensors"),
    "zip": _is_zip,
    "members": _is_zip,
    "npy": lambda path: path.endswith(".npz"),
    "sizes": lambda path: path == "model.json",
}


def _choose(
    rng: random.Random, files: Files, kind: str = ""
) -> tuple[str, bytes] | tuple[None, bytes]:
    """Returns a file and its contents, or None and nothing."""
    is_for = _IS_FOR.get(kind, lambda _: True)
    groups: dict[str, list[str]] = {}
    for path in sorted(files):
        if isinstance(files[path], bytes) and is_for(path):
            # Few files of each kind, however many arrays there are.
            groups.setdefault(Path(path).suffix + str(_is_chunk(path)), []).append(path)
    if not groups:
        return None, b""
    chosen = rng.choice(groups[rng.choice(sorted(groups))])
    data = files[chosen]
    assert isinstance(data, bytes)
    return chosen, data


def _change(kind: str, how: mutations.Mutation) -> Callable[[random.Random, Files], None]:
    """Returns a change of the contents of one file."""

    def change(rng: random.Random, files: Files) -> None:
        path, data = _choose(rng, files, kind)
        if path is not None:
            files[path] = how(rng, data)

    return change


# Contents of any kind -------------------------------------------------------------------------


def _head(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2))):
        data = mutations.number(rng, data, edge=200)
    return data


def _empty(rng: random.Random, data: bytes) -> bytes:
    return rng.choice(
        (b"", bytes(len(data)), b"\xff" * len(data), data[:1], b"\n", rng.randbytes(99))
    )


def _swap(rng: random.Random, files: Files) -> None:
    first, _ = _choose(rng, files)
    second, _ = _choose(rng, files)
    if first is not None and second is not None:
        files[first], files[second] = files[second], files[first]


def _missing(rng: random.Random, files: Files) -> None:
    path, _ = _choose(rng, files)
    if path is not None:
        del files[path]


def _special(rng: random.Random, files: Files) -> None:
    path, data = _choose(rng, files)
    if path is None:
        return
    size = rng.choice((1 << 20, 1 << 30, 20 << 30))
    files[path] = rng.choice(
        (
            Special("pipe"),
            Special("folder"),
            Link("/dev/zero"),
            Link("/dev/full"),
            Link("/"),
            Link("nowhere"),
            Link(Path(path).name),
            Sparse(data[:-1000], data[-1000:], size + len(data)),
            Sparse(data, b"", size + len(data)),
            Sparse(b"", data, size + len(data)),
        )
    )


def _names(rng: random.Random, files: Files) -> None:
    """Adds files and folders of odd names, or renames some."""
    path, data = _choose(rng, files)
    if path is None:
        return
    odd = rng.choice(
        ("\x1b]0;x\x07", "a\nb", "\u202ea", "x" * 200, ".hidden", "\udcff", " ", "9" * 19)
    )
    place = rng.choice(
        (odd, f"{odd}/{odd}", str(Path(path).parent / odd), f"checkpoint_{odd}/checkpoint")
    )
    files[place] = data
    if rng.random() < 0.5:
        del files[path]


def _agree(_: random.Random, files: Files) -> None:
    """Writes the sizes that the files have into `model.json`, so that they are read at all."""
    settings = files.get("model.json")
    try:
        assert isinstance(settings, bytes)
        values = json.loads(settings)
        for name in values["bytes"]:
            content = files.get(name)
            size = content.size if isinstance(content, Sparse) else len(content)  # type: ignore[arg-type]
            values["bytes"][name] = size
        files["model.json"] = json.dumps(values).encode()
    except (AssertionError, ValueError, TypeError, KeyError, RecursionError):
        return


_CHANGES: dict[str, Callable[[random.Random, Files], None]] = {
    "bytes": _change("", mutations.several),
    "head": _change("", _head),
    "empty": _change("", _empty),
    "swap": _swap,
    "missing": _missing,
    "special": _special,
    "names": _names,
    "json": _change("json", hostile.change_json),
    # Twice, since settings decide what is read.
    "json again": _change("json", hostile.change_json),
    "zarr": _change("zarr", formats.zarr),
    "chunk": _change("chunk", formats.zarr_chunk),
    "msgpack": _change("msgpack", formats.changed_msgpack),
    "gin": _change("gin", formats.gin_file),
    "pickle": _change("pickle", formats.pickled),
    "safetensors": _change("safetensors", formats.safetensors),
    "zip": _change("zip", formats.zip_fields),
    "members": _change("members", formats.members),
    "npy": _change("npy", formats.npy),
    "sizes": _agree,
}
