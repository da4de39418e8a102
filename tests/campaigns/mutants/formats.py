"""Changes of files of the formats that checkpoints have."""

import io
import json
import random
import struct
import zipfile

import msgpack

from tests.campaigns.mutants import hostile, mutations

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


def zarr(rng: random.Random, data: bytes) -> bytes:
    try:
        fields = json.loads(data)
        for name in rng.sample(sorted(_ZARR), rng.choice((1, 1, 2))):
            fields[name] = rng.choice(_ZARR[name])
            if name in ("chunks", "shape") and rng.random() < 0.4:
                fields[name] = [rng.choice((0, 1, 3, 10**5, size)) for size in fields["shape"]]
        return json.dumps(fields).encode()
    except (ValueError, TypeError, KeyError):
        return data


def zarr_chunk(rng: random.Random, data: bytes) -> bytes:
    bomb = hostile.gzip_bomb()
    return rng.choice((bomb, data + bomb, data + data, bytes(1 << 20), data[:-4] + bytes(4), b""))


def changed_msgpack(rng: random.Random, data: bytes) -> bytes:
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
    node: dict[str, object] = tree["optimizer"]["target"]
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
        parts[part] = rng.choice(wrong[part])
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


def gin_file(rng: random.Random, data: bytes) -> bytes:
    lines = data.decode(errors="replace").splitlines()
    places = [number for number, line in enumerate(lines) if " = " in line] or [0]
    if rng.random() < 0.4 or not lines:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(_GIN))
    else:
        place = rng.choice(places)
        name = lines[place].partition(" = ")[0]
        number = rng.choice(("0", "-1", "10**9", "1000000000", "9" * 5000, "1e400", "nan", "None"))
        try:
            text = repr(hostile.value(rng, rng.choice((0, "", []))))[: 1 << 18]
        except RecursionError:
            text = "[" * 5000 + "]" * 5000
        lines[place] = f"{name} = {rng.choice((number, text))}"
    return "\n".join(lines).encode(errors="surrogatepass")


def pickled(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.15:
        return hostile.hostile_pickle(rng)
    if not data.startswith(b"PK"):
        return hostile.change_pickle(rng, data)
    contents = _unzipped(data)
    for name in contents:
        if name.endswith("data.pkl"):
            contents[name] = hostile.change_pickle(rng, contents[name])
    return _zipped(contents)


def safetensors(rng: random.Random, data: bytes) -> bytes:
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


def _unzipped(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MAX_UNPACKED:
                return {}  # a bomb, by an earlier change
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # of the many errors of zip files
        return {}


def _zipped(contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def zip_fields(rng: random.Random, data: bytes) -> bytes:
    """Writes extreme numbers into the directories of a zip file."""
    places: list[int] = []
    for mark, size in ((b"PK\1\2", 46), (b"PK\3\4", 30), (b"PK\5\6", 22)):
        if (found := data.find(mark)) >= 0:
            places += range(found + 4, found + size)
    changed = bytearray(data)
    for place in rng.sample(places, min(len(places), rng.choice((1, 2, 4)))):
        number = rng.choice((0, 1, 0xFF, 0x7F)) if rng.random() < 0.7 else rng.randrange(256)
        changed[place] = number
    return bytes(changed)


def members(rng: random.Random, data: bytes) -> bytes:
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
        contents[name] = mutations.several(rng, contents[name])
    elif kind == 3:
        del contents[name]
    else:
        contents |= {f"empty/{number}": b"" for number in range(rng.choice((10, 20_000)))}
    return _zipped(contents, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _bombed(contents: dict[str, bytes], name: str) -> bytes:
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


def npy(rng: random.Random, data: bytes) -> bytes:
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
    return _zipped(contents)
