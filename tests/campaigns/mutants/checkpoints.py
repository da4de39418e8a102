"""Damaged, odd and hostile checkpoints in all layouts, made from seeds.

A mutant is its layout and a list of changes, each with a seed of its own, so that changes can be left
out to find the one that matters.
"""

import dataclasses
import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack

from tests.campaigns.mutants import hostile, mutations
from tests.campaigns.mutants.bases import Contents, bases


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
    """Returns the checkpoint of a seed."""
    rng = random.Random(seed)
    layout = rng.choice(sorted(bases()))
    own = [name for name in _CHANGES if any(map(_IS_FOR.get(name, bool), bases()[layout]))]
    count = rng.choice((0, 1, 1, 1, 1, 2, 2, 3, 5))
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


def _bytes(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = rng.choice(mutations.MUTATIONS)(rng, data)
    return data


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


# Formats --------------------------------------------------------------------------------------

_MAX_UNPACKED = 1 << 24

_ZARR: dict[str, tuple[object, ...]] = {
    "chunks": ([1, 1], [10**6, 10**6], [2**40, 2**40], [0, 0], [-1, 4], [1], [1] * 40, 5, [1.5, 2]),
    "shape": ([], [10**9, 10**9], [0, 0], [-1, 4], [1], "4", [2**63, 1], [1] * 40),
    "dtype": (
        "|O",
        "<f8",
        ">f4",
        "|V1000000000",
        "<U999999999",
        [["a", "<f4"]],
        "<M8[ns]",
        7,
        "bool",
    ),
    "compressor": (
        None,
        {"id": "zlib", "level": 1},
        {"id": "blosc"},
        {"id": "x" * 1000},
        {"id": "zstd"},
    ),
    "fill_value": (0, "NaN", 1e400, "x", [1]),
    "filters": ([{"id": "delta", "dtype": "<f4"}], [], "x"),
    "order": ("F", "K", 1),
    "dimension_separator": ("/", "", "..", 1),
    "zarr_format": (3, 1, "2", None),
}


def _zarr(rng: random.Random, data: bytes) -> bytes:
    try:
        fields = json.loads(data)
        for name in rng.sample(sorted(_ZARR), rng.choice((1, 1, 2))):
            fields[name] = rng.choice(_ZARR[name])
            if name in ("chunks", "shape") and rng.random() < 0.4:
                fields[name] = [rng.choice((0, 1, 3, 10**5, size)) for size in fields["shape"]]
        return json.dumps(fields).encode()
    except (ValueError, TypeError, KeyError):
        return data


def _chunk(rng: random.Random, data: bytes) -> bytes:
    bomb = hostile.gzip_bomb()
    return rng.choice((bomb, data + bomb, data + data, bytes(1 << 20), data[:-4] + bytes(4), b""))


def _msgpack(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.3:
        bomb = rng.choice(
            (b"\xdc\xff\xff" + b"\x80" * 65_535, b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff")
        )
        bomb = rng.choice(
            (bomb, b"\xdd\x00\x40\x00\x00" + b"\x80" * (1 << 22), b"\xc6\xff\xff\xff\xff")
        )
        place = rng.choice((0, 1, len(data) // 2))
        return data[:place] + bomb + data[place:]
    try:
        tree = msgpack.unpackb(data, strict_map_key=False)
        for _ in range(rng.choice((1, 1, 3))):
            _change_packed(rng, tree)
        return bytes(msgpack.packb(tree))
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError):
        return data[: len(data) // 2]


def _change_packed(rng: random.Random, tree: dict[str, dict[str, dict[str, object]]]) -> None:
    """Changes one leaf, one name or one packed array of the parameters."""
    node: dict[str, object] = tree["optimizer"]["target"]  # type: ignore[assignment]
    key = rng.choice(sorted(node))
    while isinstance(inner := node[key], dict) and inner and rng.random() < 0.95:
        node, key = inner, rng.choice(sorted(inner))
    if isinstance(inner, msgpack.ExtType) and rng.random() < 0.6:
        shape, dtype, values = msgpack.unpackb(inner.data)
        parts = [shape, dtype, values]
        part = rng.randrange(3)
        wrong = (
            ([10**9], [-1], [0], [2**62, 4], []),
            ("object", "float64", "U9999999", 3),
            (b"", b"x"),
        )
        parts[part] = rng.choice(wrong[part])  # type: ignore[arg-type]
        node[key] = msgpack.ExtType(rng.choice((1, 1, 2, 3)), msgpack.packb(parts))
    elif rng.random() < 0.3:
        odd = rng.choice(("\x1b[2J", "a\nb", "x" * 100_000, "../x", "", "a/b"))
        node[odd] = node.pop(key)
    else:
        node[key] = hostile.value(rng)


_GIN = (
    "X = " + "'a' " * 50_000,
    "X = " + "[" * 20_000 + "]" * 20_000,
    "X = " + "(1,) + " * 1000 + "(2,)",
    "include '/dev/zero'",
    "include 'config.gin'",
    "import os",
    "from os import system",
    "os.system.command = 'touch marker'",
    "X = @os.system()",
    "X = __import__('os').system('touch marker')",
    "\\\n" * 10_000,
    "'" * 3 + "x" * 100_000,
    "X = %Y\nY = %X",
    "WIDTH = 10 ** 1000",
    "\x1b]0;x\x07 = 1",
    "network.T5Config.emb_dim = 1\n" * 5000,
)


def _gin(rng: random.Random, data: bytes) -> bytes:
    lines = data.decode(errors="replace").splitlines()
    places = [number for number, line in enumerate(lines) if " = " in line] or [0]
    if rng.random() < 0.4 or not lines:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(_GIN))
    else:
        place = rng.choice(places)
        name = lines[place].partition(" = ")[0]
        number = rng.choice(("0", "-1", "10**9", "1000000000", "9" * 5000, "1e400", "nan", "None"))
        text = repr(hostile.value(rng, rng.choice((0, "", []))))[: 1 << 18]
        lines[place] = f"{name} = {rng.choice((number, text))}"
    return "\n".join(lines).encode(errors="surrogatepass")


def _pickle(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.15:
        return hostile.hostile_pickle(rng)
    if not data.startswith(b"PK"):
        return hostile.change_pickle(rng, data)
    contents = _unzipped(data)
    for name in contents:
        if name.endswith("data.pkl"):
            contents[name] = hostile.change_pickle(rng, contents[name])
    return _zipped(rng, contents)


def _safetensors(rng: random.Random, data: bytes) -> bytes:
    size = struct.unpack("<Q", data[:8].ljust(8, b"\0"))[0]
    header, values = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.8:
        header = hostile.change_json(rng, header)
    if rng.random() < 0.2:
        header = rng.choice((b"{" + b'"a":{},' * 500_000 + b'"b":{}}', b" " * (1 << 22), b"{}"))
    length = (
        rng.choice((0, 1, 2**31, 2**40, 2**63, 2**64 - 1)) if rng.random() < 0.15 else len(header)
    )
    return struct.pack("<Q", length) + header + values


def _unzipped(data: bytes) -> Contents:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MAX_UNPACKED:
                return {}  # a bomb, by an earlier change
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # of the many errors of zip files
        return {}


def _zipped(rng: random.Random, contents: Contents, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def _zip_fields(rng: random.Random, data: bytes) -> bytes:
    """Writes extreme numbers into the directories of a zip file."""
    places = [
        place
        for mark, size in ((b"PK\1\2", 46), (b"PK\3\4", 30), (b"PK\5\6", 22))
        for place in range(4, size)
        for _ in range(1)
        if (found := data.find(mark)) >= 0
        for place in (found + place,)
    ]
    changed = bytearray(data)
    for place in rng.sample(places, min(len(places), rng.choice((1, 2, 4)))):
        number = rng.choice((0, 1, 0xFF, 0x7F)) if rng.random() < 0.7 else rng.randrange(256)
        changed[place] = number
    return bytes(changed)


def _members(rng: random.Random, data: bytes) -> bytes:
    """Writes a zip file with other members, or a member that unpacks to a gigabyte."""
    contents = _unzipped(data)
    if not contents:
        return data
    name = rng.choice(sorted(contents))
    kind = rng.randrange(5)
    if kind == 0:
        return _bombed(contents, name)
    if kind == 1:
        odd = (
            "../marker",
            "/tmp/marker",
            "a\\..\\b",
            "C:/x",
            "x" * 60_000,
            "a\nb",
            "\x1b[2J",
            "a/" * 900,
        )
        contents[rng.choice(odd)] = contents[name]
    elif kind == 2:
        contents[name] = _bytes(rng, contents[name])
    elif kind == 3:
        del contents[name]
    else:
        contents |= {f"empty/{number}": b"" for number in range(rng.choice((10, 20_000)))}
    return _zipped(rng, contents, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _bombed(contents: Contents, name: str) -> bytes:
    """Returns a zip file of which one member is a gigabyte of zeros."""
    stream, size, checksum = hostile.deflate_bomb()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for other, data in contents.items():
            archive.writestr(zipfile.ZipInfo(other), stream if other == name else data)
        info = archive.getinfo(name)
        info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, size, checksum
        info.compress_size = len(stream)
        place = info.header_offset
    changed = bytearray(buffer.getvalue())
    changed[place + 8 : place + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    changed[place + 14 : place + 26] = struct.pack("<III", checksum, len(stream), size)
    return bytes(changed)


def _npy(rng: random.Random, data: bytes) -> bytes:
    contents = _unzipped(data)
    if not contents:
        return data
    name = rng.choice(sorted(contents))
    header, separator, values = contents[name].partition(b"\n")
    changes = (
        (b"<f4", rng.choice((b"|O8", b"<f8", b"|V9", b"<U9999999", b"|S0"))),
        (b"False", b"True "),
        (b"'shape': (", rng.choice((b"'shape': (9999999999,", b"'shape': (-1,", b"'shape': (0,"))),
        (b"{", b"(" * rng.choice((1, 5000)) + b"{"),
    )
    old, new = rng.choice(changes)
    header = header.replace(old, new)
    if rng.random() < 0.6 and header[:6] == b"\x93NUMPY":
        header = header[:8] + struct.pack("<H", (len(header) - 10 + 1) % 65536) + header[10:]
    contents[name] = header + separator + values
    return _zipped(rng, contents)


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
    "bytes": _change("", _bytes),
    "head": _change("", _head),
    "empty": _change("", _empty),
    "swap": _swap,
    "missing": _missing,
    "special": _special,
    "names": _names,
    "json": _change("json", hostile.change_json),
    "json again": _change("json", hostile.change_json),
    "zarr": _change("zarr", _zarr),
    "chunk": _change("chunk", _chunk),
    "msgpack": _change("msgpack", _msgpack),
    "gin": _change("gin", _gin),
    "pickle": _change("pickle", _pickle),
    "safetensors": _change("safetensors", _safetensors),
    "zip": _change("zip", _zip_fields),
    "members": _change("members", _members),
    "npy": _change("npy", _npy),
    "sizes": _agree,
}
