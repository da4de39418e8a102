"""Command `push`: uploads a model with its card to the Hugging Face Hub, or writes a folder."""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_out, add_seed
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.commands.shared.songs import find_song
from spectrodiff.core.config import require
from spectrodiff.core.constants import StoredType
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import local_path, package_folder, temporary_folder
from spectrodiff.music.midi.reader import read_midi

if TYPE_CHECKING:
    from spectrodiff.checkpoints.model import Checkpoint
    from spectrodiff.sharing.folder import Sharing

logger = logging.getLogger(__name__)

# Rendered if no songs are given.
EXAMPLE = package_folder("examples") / "greensleeves.mid"
# A model that takes more evaluations per segment renders songs only if they are given.
MANY_EVALUATIONS = 64


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    flags = parse_flags(arguments)
    # Imported here so that --help is fast.
    from spectrodiff.checkpoints.resolve import open_checkpoint
    from spectrodiff.sharing.folder import write_folder
    from spectrodiff.sharing.hub import check_repository, check_revision, check_token, upload

    # Before the songs are rendered.
    if flags.repository is not None:
        check_repository(flags.repository)
    if flags.revision is not None:
        check_revision(flags.revision)
    uploads = flags.out is None and not flags.dry_run
    require(not uploads or flags.repository is not None, "push", "owner/name, or --out", "neither")
    if uploads:
        check_token()
    for song in flags.songs or ():
        read_midi(song)
    if not flags.license:
        logger.info("the card states no license of the weights: --license NAME adds it")
    checkpoint = open_checkpoint(flags.model)
    sharing = _sharing(checkpoint, flags)
    with temporary_folder() as temporary:
        folder = flags.out or temporary / "model"
        write_folder(checkpoint, sharing, folder)
        logger.info("%s: %s", sharing.title, _contents(folder))
        if flags.dry_run:
            card = (folder / "README.md").read_text("utf-8")
            print_result(flags, card.rstrip("\n"), {"card": card})
        elif uploads:
            logger.info("uploading to %s", flags.repository)
            commit = upload(
                folder,
                flags.repository,
                private=flags.private,
                revision=flags.revision,
                message=flags.message,
            )
            print_result(flags, commit, {"commit": commit, "model": sharing.address})
        else:
            print_result(flags, written(folder), {"folder": folder})


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog=usage_name("push"),
        description="Passes a model on: weights, settings, inverter, and a card with its data, its "
        "settings, its scores and samples of its sound. Uploads them to the Hugging Face Hub as "
        "one commit, or writes them to a folder.",
    )
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="run folder, one of its checkpoints, or any other model as in spectrodiff sample",
    )
    add(
        "repository",
        nargs="?",
        metavar="OWNER/NAME",
        help="repository of the Hub; made if it does not exist",
    )
    add_out(parser, "new folder to write instead of uploading")
    add("--dry_run", action="store_true", help="print the card; neither write nor upload anything")
    add("--private", action="store_true", help="make the repository private")
    add("--revision", help="branch to upload to; made if it does not exist (default: main)")
    add(
        "--message",
        default="Upload a model of spectrodiff",
        help="message of the commit (default: %(default)s)",
    )
    add("--title", help="title of the card (default: that of the repository or folder)")
    add("--license", default="", help="license of the weights, as the Hub names it: cc-by-4.0, mit")
    add(
        "--evaluation",
        type=local_path,
        metavar="FOLDER",
        help="folder that spectrodiff evaluate has written, for the table of scores",
    )
    add(
        "--songs",
        nargs="*",
        type=find_song,
        metavar="SONG.mid",
        help="MIDI files to render as samples; OWNER/NAME may follow; --songs alone for none "
        "(default: Greensleeves, if rendering is fast)",
    )
    add_seed(parser, "the samples")
    add(
        "--inverter",
        type=local_path,
        help="inverter to include: .onnx or .safetensors file, or run folder (default: the "
        "model's own, else the bundled one)",
    )
    add(
        "--dtype",
        choices=get_args(StoredType),
        default="float32",
        help="type of the stored parameters; 16-bit types halve the size (default: %(default)s)",
    )
    add_json(parser, "folder; commit and model (the argument of --model); or card")
    flags = parser.parse_args(arguments)
    _take_repository(flags)
    if flags.dry_run and flags.out is not None:
        raise ConfigError("--dry_run", "no --out beside it", str(flags.out))
    return flags


def _take_repository(flags: argparse.Namespace) -> None:
    """Takes what follows the songs, if it is no file, for the repository."""
    from spectrodiff.data.corpora.folders import MIDI_SUFFIXES

    last = flags.songs[-1] if flags.songs else ""
    is_song = os.path.exists(last) or last.lower().endswith(MIDI_SUFFIXES)
    if flags.repository is None and last.count("/") == 1 and not is_song:
        flags.repository = flags.songs.pop()


def _sharing(checkpoint: "Checkpoint", flags: argparse.Namespace) -> "Sharing":
    from spectrodiff.evaluation.results import read_results
    from spectrodiff.sharing.folder import Sharing
    from spectrodiff.sharing.inverters import find_inverter
    from spectrodiff.sharing.origins import read_origin
    from spectrodiff.sharing.privacy import without_folders

    address = flags.repository or ""
    if address and flags.revision:
        address += f"@{flags.revision}"
    named = flags.repository.partition("/")[2] if flags.repository else ""
    return Sharing(
        title=flags.title
        or named
        or (flags.out.name if flags.out else without_folders(checkpoint.name)),
        address=address,
        license=flags.license,
        dtype=flags.dtype,
        inverter=find_inverter(checkpoint, flags.inverter),
        origin=read_origin(Path(flags.model).expanduser(), checkpoint),
        results=read_results(flags.evaluation) if flags.evaluation else None,
        songs=_songs(checkpoint, flags),
        seed=flags.seed,
    )


def _songs(checkpoint: "Checkpoint", flags: argparse.Namespace) -> list[Path]:
    if flags.songs is not None:
        return [Path(song) for song in flags.songs]
    evaluations = checkpoint.sampling.evaluations
    if checkpoint.config.kind == "diffusion" and evaluations > MANY_EVALUATIONS:
        logger.info(
            "no samples of the sound, since %d evaluations of the network per segment take long: "
            "--songs renders them all the same",
            evaluations,
        )
        return []
    return [EXAMPLE]


def _contents(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return f"{len(files)} files, {megabytes:.1f} MB"
