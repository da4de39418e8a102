"""Prepares a corpus for training: recordings at 16 kHz with notes, in a single dataset.

Audio is converted to mono and resampled, labels are converted to note tables, and the published
splits are used. A table at the end lists the size of each split, then what was left out and why,
and what was changed.
"""

import argparse
import functools
import logging
import math
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import (
    add_data_dir,
    add_seed,
    add_soundfont,
    add_workers,
    natural,
    share,
)
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.composer.settings import FULL, NARROW
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import local_path
from spectrodiff.data.corpora import guitarset, maestro, musicnet, pairs, slakh, synthetic, urmp
from spectrodiff.data.corpora.releases import (
    GUITARSET,
    MAESTRO,
    MUSICNET,
    SLAKH,
    URMP,
    Release,
)
from spectrodiff.data.corpora.slakh_splits import Variant
from spectrodiff.data.pieces import PAPER_PIECES, PieceLength
from spectrodiff.data.prepare.prepare import prepare
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.recordings import Plan
from spectrodiff.data.source import dataset_folder

_STYLES = {"full": FULL, "narrow": NARROW}
_MIDI_TAIL_SECONDS = 1.0


def main(arguments: Sequence[str]) -> None:
    """Prepares the corpus given on the command line."""
    options = _parser().parse_args(arguments)
    need_extra("prepare", "train")
    # TFDS warns about each corpus that is not registered with it.
    logging.getLogger("absl").setLevel(logging.ERROR)
    if options.beam is not None:
        _make_absolute(options)
    config, plan = options.plan(options)
    summary = prepare(
        options.corpus,
        config,
        plan,
        options.data_dir,
        piece_length=PieceLength(options.piece_frames, options.following_frames),
        workers=options.workers,
        beam_options=shlex.split(options.beam) if options.beam is not None else None,
    )
    if options.corpus == "soundfont":
        shutil.rmtree(_cache_folder(options, config), ignore_errors=True)
    name = f"{options.corpus}/{config}"
    texts = (f"{name} in {written(options.data_dir)}", summary.table(), summary.listing())
    values = {"corpus": name, "data_dir": options.data_dir, **vars(summary)}
    print_result(options, "\n".join(filter(None, texts)), values)


def _make_absolute(options: argparse.Namespace) -> None:
    """Makes paths absolute; workers of Beam are in folders of their own."""
    for name, value in vars(options).items():
        if isinstance(value, Path):
            setattr(options, name, value.absolute())


def _plan_maestro(options: argparse.Namespace) -> tuple[str, Plan]:
    return "v3", maestro.plan(options.source)


def _plan_slakh(options: argparse.Namespace) -> tuple[str, Plan]:
    config = options.variant + (f"_seed{options.seed}" if options.seed else "")
    arguments = options.source, options.variant, options.split_list
    return config, slakh.plan(*arguments, seed=options.seed)


def _plan_cerberus4(options: argparse.Namespace) -> tuple[str, Plan]:
    arguments = options.source, options.variant, options.split_list
    return options.variant, slakh.plan_cerberus4(*arguments)


def _plan_guitarset(options: argparse.Namespace) -> tuple[str, Plan]:
    return "mic_and_mix", guitarset.plan(options.source)


def _plan_musicnet(options: argparse.Namespace) -> tuple[str, Plan]:
    plan = musicnet.plan(options.source, options.labels, options.splits)
    return f"{options.labels}_{options.splits}", plan


def _plan_urmp(options: argparse.Namespace) -> tuple[str, Plan]:
    return "mt3", urmp.plan(options.source)


def _plan_pairs(options: argparse.Namespace) -> tuple[str, Plan]:
    return options.name, pairs.plan(options.source, options.validation_share)


def _plan_soundfont(options: argparse.Namespace) -> tuple[str, Plan]:
    soundfont = functools.partial(SoundfontRenderer, options.soundfont, options.gain)
    if options.source is not None:
        config = options.name or "midi"
        renderer = synthetic.CachedRenderer(
            soundfont(tail_seconds=_MIDI_TAIL_SECONDS), _cache_folder(options, config)
        )
        return config, synthetic.plan_midi(renderer, options.source, options.validation_share)
    settings = _STYLES[options.style]
    songs = options.songs
    if songs is None:
        songs = math.ceil(options.hours * 3600 / (sum(settings.seconds) / 2))
    config = options.name or f"{options.style}_seed{options.seed}_{songs}"
    renderer = synthetic.CachedRenderer(soundfont(), _cache_folder(options, config))
    return config, synthetic.plan_composed(
        renderer, settings, songs, options.seed, options.validation_share
    )


def _cache_folder(options: argparse.Namespace, config: str) -> Path:
    folder: Path = dataset_folder(options.data_dir, options.corpus, config)
    return folder.with_name("rendered")


def _parser() -> Parser:
    parser = Parser(prog=usage_name("prepare"), description=__doc__)
    corpora = parser.add_subparsers(dest="corpus", metavar="CORPUS", required=True)

    _add(corpora, "maestro", "MAESTRO v3: piano, 199 hours", _plan_maestro, MAESTRO)

    for name, plan, help in (
        ("slakh", _plan_slakh, "Slakh2100: many instruments; ten sub-mixes per training track"),
        ("cerberus4", _plan_cerberus4, "Cerberus4: piano, guitar, bass and drums, from Slakh2100"),
    ):
        command = _add(corpora, name, help, plan, SLAKH)
        command.add_argument(
            "--variant",
            choices=get_args(Variant),
            default="redux",
            help="published split; redux has no duplicate songs (default: %(default)s)",
        )
        command.add_argument(
            "--split_list",
            type=local_path,
            metavar="FILE",
            help="redux.json or splits_v2.json from the splits folder of slakh-utils; required for "
            "split2, and for redux unless SOURCE is the redux release",
        )
        if name == "slakh":
            add_seed(command, "the sub-mixes")

    help = "GuitarSet: guitar, microphone and pickup"
    _add(corpora, "guitarset", help, _plan_guitarset, GUITARSET)

    help = "MusicNet: classical chamber music"
    command = _add(corpora, "musicnet", help, _plan_musicnet, MUSICNET)
    command.add_argument(
        "--labels",
        choices=get_args(musicnet.Labels),
        default="plain",
        help="labels of the release, or re-aligned MusicNet-EM labels in SOURCE/musicnet_em "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--splits",
        choices=get_args(musicnet.SplitName),
        default="mt3",
        help="splits of MT3, or of the release (default: %(default)s)",
    )

    _add(corpora, "urmp", "URMP: classical chamber music", _plan_urmp, URMP)

    command = _add(
        corpora,
        "pairs",
        "your own recordings: name.wav, .flac, .ogg or .mp3 with name.mid, .midi, .kar or .rmi",
        _plan_pairs,
    )
    _add_name(command, "own")
    _add_validation_share(command)

    _add_soundfont(corpora)
    return parser


def _add_soundfont(corpora: "argparse._SubParsersAction[Parser]") -> None:
    command = _add(
        corpora,
        "soundfont",
        "songs rendered by FluidSynth: your MIDI files, or composed songs",
        _plan_soundfont,
        source_required=False,
    )
    _add_name(command, None)
    _add_validation_share(command)
    amount = command.add_mutually_exclusive_group()
    amount.add_argument(
        "--hours", type=float, default=1.0, help="approximate hours to compose (default: 1)"
    )
    amount.add_argument("--songs", type=natural, help="number of songs to compose")
    add_seed(command, "the composer")
    command.add_argument(
        "--style",
        choices=_STYLES,
        default="full",
        help="full: 34 instrument classes and drums; narrow: five instruments at a lower density, "
        "for small models (default: %(default)s)",
    )
    add_soundfont(command)
    command.add_argument(
        "--gain",
        type=float,
        default=0.8,
        help="common gain of all songs, so that loudness depends on the notes "
        "(default: %(default)s)",
    )


def _add(
    corpora: "argparse._SubParsersAction[Parser]",
    name: str,
    help: str,
    plan: Callable[[argparse.Namespace], tuple[str, Plan]],
    release: Release | None = None,
    source_required: bool = True,
) -> Parser:
    description = help if release is None else f"{help}. Published: {release.published}."
    command = corpora.add_parser(name, help=help, description=description)
    command.set_defaults(plan=plan)
    source_help = "folder of your recordings"
    if release is not None:
        source_help = "the unpacked release; of an archive only the checksum is verified"
    elif not source_required:
        source_help = "folder of MIDI files; by default, songs are composed"
    command.add_argument(
        "--source",
        type=local_path,
        required=source_required,
        metavar="DIR",
        help=source_help,
    )
    add_data_dir(command)
    add_workers(command, 1, "1")
    add_json(
        command,
        "corpus, data_dir, recordings, seconds and notes of each split, skipped, remarks, remarked",
    )
    command.add_argument(
        "--piece_frames",
        type=natural,
        default=PAPER_PIECES.frames,
        metavar="N",
        help="length of the pieces that training examples are drawn from, in frames of 20 ms "
        "(default: %(default)s, the paper's)",
    )
    command.add_argument(
        "--following_frames",
        type=natural,
        default=PAPER_PIECES.following,
        metavar="N",
        help="frames stored behind each piece; larger only for segments of more than 256 frames "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--beam",
        nargs="?",
        const="",
        metavar="OPTIONS",
        help="prepare on Apache Beam with these pipeline options, as in "
        "--beam='--runner=FlinkRunner'; without options on its direct runner",
    )
    return command


def _add_name(command: Parser, default: str | None) -> None:
    note = "default: %(default)s" if default else "default: describes its contents"
    command.add_argument(
        "--name", type=_name, default=default, help=f"name of the dataset ({note})"
    )


def _add_validation_share(command: Parser) -> None:
    command.add_argument(
        "--validation_share",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="share of the recordings for validation; ignored if subfolders such as train, "
        "validation and test are the splits (default: %(default)s)",
    )


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError(
            f"expected letters from a to z, digits, _ and -, got {text}"
        )
    return text
