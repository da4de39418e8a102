"""Command `fetch`: downloads published models, or takes those that were brought by hand."""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result
from spectrodiff.core.errors import ConfigError, printable
from spectrodiff.core.files import local_path

if TYPE_CHECKING:
    from spectrodiff.checkpoints.downloads.catalogue import Published
    from spectrodiff.checkpoints.downloads.received import Fetched
    from spectrodiff.checkpoints.downloads.sources import Source


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = parse_flags(arguments)
    if flags.list:
        _print_list(flags)
        return
    for description in _fetch(flags):
        print_result(flags, "\n".join(_lines(description)), description)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Raises:
        ConfigError: if there is no name, or --from stands with several names or --endpoint.
    """
    parser = Parser(
        prog=usage_name("fetch"),
        description="Downloads published models to the cache, where --model NAME finds them; says "
        "their size, license and source before, resumes what was interrupted, and compares "
        "checksums where they are published. The cache is $SPECTRODIFF_CACHE or "
        "~/.cache/spectrodiff, for the Hub that of its client.",
    )
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="NAME",
        help="name in --list, paddle:owner/name, URL of a zip archive or of a folder, or a Hub "
        "repository as owner/name or owner/name@revision",
    )
    add("--list", action="store_true", help="list the known models and what is already there")
    add(
        "--from",
        dest="source",
        type=_brought,
        metavar="PATH",
        help="folder or zip archive that was brought by hand: checks it and puts it into the cache "
        "as NAME, without a network",
    )
    add(
        "--endpoint",
        metavar="URL",
        help="address of a mirror: of the Hub, of the Paddle models, or of the released archives",
    )
    add_json(
        parser,
        "name, folder, address, license, already, files (name, size in bytes, checked); with "
        "--list: name, network, parameters, inverter, megabytes, license, page, address, folder, "
        "arrived",
        each="model",
    )
    flags = parser.parse_args(arguments)
    if not flags.names and not flags.list:
        raise ConfigError("NAME", "the name of a model (see --list)", "none")
    if flags.names and flags.list:
        raise ConfigError("--list", "no name beside it", " ".join(flags.names))
    if "" in flags.names:
        raise ConfigError("NAME", "the name of a model (see --list)", "an empty one")
    if flags.source and flags.endpoint is not None:
        raise ConfigError("--endpoint", "no --from, which needs no network", shown(flags.endpoint))
    if flags.source and len(flags.names) != 1:
        raise ConfigError("--from", "one name for the model in it", f"{len(flags.names)} names")
    return flags


def _brought(text: str) -> Path:
    if not text:  # as a path, it would be the current folder
        raise ConfigError("--from", "a folder or a zip archive", "an empty path")
    return local_path(text)


def _fetch(flags: argparse.Namespace) -> Iterator[dict[str, Any]]:
    # Imported here so that --help is fast.
    from spectrodiff.checkpoints.bundled import UNTRAINED, bundled_models
    from spectrodiff.checkpoints.downloads.brought import bring
    from spectrodiff.checkpoints.folders import find_layout
    from spectrodiff.checkpoints.resolve import fetch_model, model_source

    for name in flags.names:
        if name in (UNTRAINED, *bundled_models()):
            raise ConfigError("NAME", "a model to download", f"{name}, which needs no download")
        if Path(name).expanduser().exists():
            raise ConfigError("NAME", "a model to download", f"{name}, which is on this machine")
        source = model_source(name)
        if flags.source:
            fetched = bring(source, flags.source.expanduser())
        else:
            fetched = fetch_model(name, endpoint=flags.endpoint)
        find_layout(fetched.folder)
        yield _describe(source, fetched)


def _describe(source: "Source", fetched: "Fetched") -> dict[str, Any]:
    files = [
        {"name": file.name, "size": file.size, "checked": file.checked} for file in fetched.files
    ]
    return {
        "name": shown(source.name),
        "folder": str(fetched.folder),
        "address": shown(source.address),
        "license": fetched.license or source.license,
        "already": fetched.already,
        "files": files,
    }


def _lines(description: dict[str, Any]) -> Iterator[str]:
    for file in description["files"]:
        checked = file["checked"]
        how = {None: "not checked: no checksum is published", "size": "complete"}
        said = how.get(checked, f"{checked} as published")
        yield printable(f"{file['name']}  {file['size'] / 1e6:,.1f} MB, {said}")
    there = "was already in" if description["already"] else "is in"
    yield printable(f"{description['name']} {there} {description['folder']}")
    # An address of which something is hidden cannot be used.
    hidden = "***" in description["name"]
    yield printable(f"use it: --model {description['folder' if hidden else 'name']}")


def _print_list(flags: argparse.Namespace) -> None:
    from spectrodiff.checkpoints.downloads.catalogue import CATALOGUE

    for published in CATALOGUE.values():
        entry = _entry(published)
        rows = [f"  {title:9}{printable(text)}" for title, text in _rows(entry)]
        print_result(flags, "\n".join([entry["name"], *rows]), entry)


def _entry(published: "Published") -> dict[str, Any]:
    from spectrodiff.checkpoints.downloads.fetch import arrived_bytes, find_local
    from spectrodiff.checkpoints.downloads.sources import find_source
    from spectrodiff.checkpoints.tree import expected_shapes
    from spectrodiff.models.config import SIZES

    source = find_source(published.name)
    assert source is not None  # the catalogue has names that `find_source` takes
    folder = find_local(source)
    return {
        "name": published.name,
        "network": published.size,
        "parameters": sum(map(math.prod, expected_shapes(SIZES[published.size]).values())),
        "inverter": published.inverter,
        "megabytes": published.megabytes,
        "license": published.license,
        "page": published.page,
        "address": published.address,
        "folder": str(folder) if folder else None,
        "arrived": arrived_bytes(source),
    }


def _rows(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the title and the text of each line about a model."""
    inverter = "with" if entry["inverter"] else "without"
    millions = f"{entry['parameters'] / 1e6:.0f} million parameters"
    yield "network", f"{entry['network']}, with context, {millions}, {inverter} inverter"
    size = entry["megabytes"]
    yield "size", "unknown until the server says" if size is None else f"{size:,.0f} MB"
    yield "license", entry["license"]
    yield "from", entry["address"]
    if entry["folder"]:
        yield "here", entry["folder"]
    elif entry["arrived"]:
        yield "here", f"{entry['arrived'] / 1e6:,.1f} MB; the same command continues"
    else:
        yield "here", "no"
