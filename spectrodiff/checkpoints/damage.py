"""Telling a damaged checkpoint from one that is merely of something else.

A power cut or a bad disk leaves empty, short or missing files behind. Orbax says the same of those
as of a checkpoint that does not fit, and says it at length; so the files are read first, as what
they are, with no demands.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ARRAY = "/zarr.json"
_DETAILS = re.compile(r" \[[\w ]+='")  # such as [tensorstore_spec='...'


def damage(folder: Path, parts: Iterable[str]) -> str | None:
    """Reads all arrays of a checkpoint and says, in a phrase, what is wrong with the first bad one.

    No other process takes part, and no device; one array is in memory at a time.

    Args:
        folder: a checkpoint, RUN/checkpoints/STEP.
        parts: which of its parts to look at, each a folder in it.

    Returns:
        None if they are whole.
    """
    for part in parts:
        try:
            found = _damage_of_part(folder.absolute() / part)
        except Exception as error:  # TensorStore has many
            found = first_line(error)
        if found is not None:
            return f"{part}: {found}"
    return None


def _damage_of_part(folder: Path) -> str | None:
    if not folder.is_dir():
        return "no such folder"
    described = folder / "_METADATA"
    layout: Any = None
    for path in (described, *sorted((folder / "array_metadatas").glob("*"))):
        if not path.is_file():
            return f"no {path.name}"
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            return f"{path.name} is not whole ({path.stat().st_size} bytes)"
        if path == described:
            layout = content
    if not isinstance(layout, dict):
        return f"{described.name} does not describe arrays"
    if not (layout.get("use_ocdbt") and layout.get("use_zarr3")):
        return None  # in another layout than runs are written in; Orbax will see
    return _damage_of_arrays(folder)


def _damage_of_arrays(folder: Path) -> str | None:
    import tensorstore

    store = {"driver": "ocdbt", "base": folder.as_uri() + "/"}
    keys = tensorstore.KvStore.open(store).result().list().result()
    names = [key.decode().removesuffix(_ARRAY) for key in keys if key.decode().endswith(_ARRAY)]
    if not names:
        return "no arrays" if (folder / "manifest.ocdbt").is_file() else "no manifest.ocdbt"
    for name in names:
        spec = {
            "driver": "zarr3",
            "kvstore": {**store, "path": name + "/"},
            # By default a chunk that is not there reads as zeros.
            "fill_missing_data_reads": False,
        }
        tensorstore.open(spec, open=True, read=True).result().read().result()
    return None


def first_line(error: BaseException) -> str:
    """The first line of a message, without the details that TensorStore appends."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _DETAILS.split(lines[0], maxsplit=1)[0]
