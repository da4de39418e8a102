"""Downloads of models that are published as single files below one address."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.checkpoints.downloads.received import Fetched
from spectrodiff.checkpoints.downloads.sources import Source, UnknownModelError
from spectrodiff.checkpoints.downloads.transfer import (
    Meter,
    RemoteFile,
    download,
    look_up,
    start_of,
)
from spectrodiff.checkpoints.layouts import ports, store
from spectrodiff.checkpoints.layouts.table import needed_files
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.files import open_regular
from spectrodiff.core.json_files import read_json

README = "README.md"
# Some servers answer with a page, or another text, whatever they are asked for.
_NO_FILE = "no-such-file-of-a-model"
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_CONNECTIONS = 6  # of one program to one server, as browsers have
_WEIGHTS = {"paddle": ports.PADDLE_FILES, "folder": (*ports.DIFFUSERS_FILES, *ports.PADDLE_FILES)}


def list_files(source: Source, address: str) -> dict[str, RemoteFile]:
    """Returns the files of a model below an address, by name.

    A plain server does not list its files, so it is asked for every name that the known layouts
    have.

    Args:
        source: of kind "paddle" or "folder".
        address: address that ends in a slash.

    Raises:
        CheckpointError: if files are missing, or the server cannot be reached.
    """
    names = _candidates(source.kind)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        *answers, other = pool.map(look_up, [address + name for name in (*names, _NO_FILE)])
        found = {name: file for name, file in zip(names, answers, strict=True) if file}
        if other:  # it has every file
            text = start_of(other.url)
            starts = pool.map(start_of, [file.url for file in found.values()])
            found = {
                name: file
                for (name, file), start in zip(found.items(), starts, strict=True)
                if start != text and not _PAGE.match(start)
            }
    if not found.keys() - {README}:
        expected = "the address of a folder with a model, or of a zip archive (name.zip)"
        raise UnknownModelError(shown(address), expected, "none of the files of a model there")
    wanted = needed_files(list(found))
    if missing := [name for name in _required(source, wanted) if name not in found]:
        others = f", nor {len(missing) - 1} others" if missing[1:] else ""
        got = f"no such file on the server{others}"
        raise CheckpointError(shown(address + missing[0]), "a file of the model", got)
    # What the model is and its license are said there.
    return {name: file for name, file in found.items() if name in wanted or name == README}


def fetch_files(files: Mapping[str, RemoteFile], folder: Path, meter: Meter) -> Fetched:
    """Downloads files to `folder`, which appears when all are complete.

    What has arrived before is in a folder beside it, whose name ends in ".part", and is continued.

    Args:
        files: result of `list_files`.
        folder: new folder, in one that exists.
        meter: counts the bytes of all files.

    Raises:
        CheckpointError: if a file is missing, incomplete, damaged or too large.
        OSError: if the folder cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.part")
    received = []
    for name, file in files.items():
        target = partial / name
        target.parent.mkdir(parents=True, exist_ok=True)
        received.append(replace(download(file.url, target, meter, file), name=name))
        if name != README:
            _check_contents(target, shown(file.url))
    for version in [*partial.rglob("*.version"), *partial.rglob("*.part")]:
        version.unlink()
    partial.replace(folder)
    return Fetched(folder, tuple(received))


def _check_contents(path: Path, url: str) -> None:
    """Checks a file in place of which some servers and networks send a page."""
    try:
        if path.suffix == ".json":
            read_json(path)
            return
        with open_regular(path) as file:
            if _PAGE.match(file.read(64)):
                raise CheckpointError(url, "a file of the model", "a page")
    except CheckpointError as error:
        path.unlink()
        raise CheckpointError(url, error.expected, error.got) from None


def _candidates(kind: str) -> Sequence[str]:
    ours = (store.SETTINGS, store.WEIGHTS, *store.INVERTERS, ports.OWN_SETTINGS)
    networks = [
        f"{network}/{name}"
        for network in ports.NETWORKS
        for name in ("config.json", *_WEIGHTS[kind])
    ]
    names = (ports.MODEL_INDEX, ports.SCHEDULER, *networks, ports.INVERTER, README)
    return names if kind == "paddle" else (*ours, *names)


def _required(source: Source, wanted: Sequence[str]) -> Sequence[str]:
    """Returns the files without which there is no model."""
    if source.published:
        return [file.name for file in source.published.files if file.needed]
    if store.SETTINGS in wanted:
        return wanted
    weights = [] if wanted else [f"{network}/{ports.PADDLE_FILES[0]}" for network in ports.NETWORKS]
    return [*weights, *(f"{network}/config.json" for network in ports.NETWORKS)]
