"""Renders MIDI files to audio: python sample.py song.mid --out song.wav."""

import argparse
import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spectrodiff.audio.encoding import AUDIO_SUFFIXES
from spectrodiff.checkpoints.bundled import UNTRAINED, default_model
from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared import gin_files
from spectrodiff.commands.shared.configs import CONFIGS
from spectrodiff.commands.shared.export import (
    add_export_flags,
    check_export,
    format_of,
    write_songs,
    write_stems,
)
from spectrodiff.commands.shared.flags import (
    add_batch_size,
    add_device,
    add_gin_flags,
    add_inverter,
    add_max_minutes,
    add_model,
    add_out,
    add_precision,
    add_score_phases,
    add_seed,
    check_max_minutes,
)
from spectrodiff.commands.shared.outputs import name_folders, name_outputs
from spectrodiff.commands.shared.parser import Parser, YesNo
from spectrodiff.commands.shared.results import add_json
from spectrodiff.commands.shared.sampling import add_sampling_flags, warn_of_sampling
from spectrodiff.commands.shared.songs import Songs, find_song
from spectrodiff.core.config import check_types, require
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import check_writable
from spectrodiff.core.runtime import enable_compilation_cache, find_devices
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling, combine
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization

if TYPE_CHECKING:
    from spectrodiff.music.tokenizer import SongTokens
    from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

UNTRAINED_NOTICE = (
    "note: this model is untrained and renders noise; leave out --model to use a trained one"
)

# Duration above which faster settings are suggested, in seconds.
LONG_SECONDS = 60.0
FAST = Sampling("dpmpp", steps=10)


@dataclasses.dataclass(frozen=True)
class Rendering:
    """Settings of a rendering that are not the model's; each is also a flag."""

    model: str = default_model()
    inverter: str | None = None
    score_phases: bool | None = None
    seed: int = 0
    batch_size: int = 8
    device: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_types(self)
        require(self.batch_size >= 1, "batch_size", "a whole number >= 1", self.batch_size)


class Settings(NamedTuple):
    """Settings that flags and gin files give."""

    rendering: Rendering
    # Changes of the model's settings.
    sampling: dict[str, Any]
    tokenization: dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Renders the songs that the command line names; returns the exit status."""
    flags = parse_flags(arguments)
    check_max_minutes(flags)
    settings = configure(flags)
    outputs = find_outputs(flags)
    check_export(flags, outputs)
    for folder in {output if flags.stems else output.parent for output in outputs}:
        check_writable(folder)
    songs = Songs(flags)
    if songs.notes:
        render(songs, outputs, settings, flags)
    for error in songs.refused:
        logger.error("left out: %s", error)
    return 1 if songs.refused else 0


def find_outputs(flags: argparse.Namespace) -> list[Path]:
    """Returns the file to write for each song, or the folder of its stems."""
    names = [Path(song).name for song in flags.songs]
    if flags.stems:
        return name_folders(names, flags.out, kind="songs")
    suffix = f".{format_of(flags)}"
    outputs = name_outputs(
        names, flags.out or ".", kind="songs", suffix=suffix, suffixes=AUDIO_SUFFIXES
    )
    if flags.format and outputs[0].suffix.lower() != suffix:
        expected = f"{outputs[0].suffix[1:].lower()}, as --out {flags.out} says, or no --format"
        raise ConfigError("--format", expected, flags.format)
    return outputs


def render(
    songs: Songs, outputs: Sequence[Path], settings: Settings, flags: argparse.Namespace
) -> None:
    """Loads the model, and renders and writes the songs that it can render."""
    enable_compilation_cache()
    # Only now, so that --help and errors in flags and songs are fast.
    from spectrodiff.synthesis.loading import load

    rendering = settings.rendering
    synth = load(
        rendering.model,
        inverter=rendering.inverter,
        score_phases=rendering.score_phases,
        precision=rendering.precision,
        devices=find_devices(rendering.device),
        tokenization=settings.tokenization,
    )
    if rendering.model == UNTRAINED:
        logger.warning(UNTRAINED_NOTICE)
    tokens = songs.tokenize(synth, settings.sampling.get("overlap"))
    if not tokens:
        return
    own = synth.sampling
    warn_of_sampling(settings.sampling, own, kind=synth.config.kind, model=synth.name)
    options = {**settings.sampling, "batch_size": rendering.batch_size}
    if flags.stems:
        render_stems(synth, songs, tokens, options, rendering.seed, outputs, flags)
        return
    announce(synth, list(tokens.values()), options)
    rendered = synth.render_each(
        list(tokens.values()), **options, seed=rendering.seed, progress=True
    )
    write_songs(rendered, [outputs[number] for number in tokens], flags)


def render_stems(
    synth: "Synthesizer",
    songs: Songs,
    tokens: Mapping[int, "SongTokens"],
    options: Mapping[str, Any],
    seed: int,
    outputs: Sequence[Path],
    flags: argparse.Namespace,
) -> None:
    """Renders and writes the stems of all songs that have tokens."""
    from spectrodiff.synthesis.stems import render_stems_each, split_tokens

    names = {number: flags.songs[number] for number in tokens}
    split = [
        split_tokens(songs.notes[number], tokens[number], synth, strict=flags.strict, name=name)
        for number, name in names.items()
    ]
    parts = [part for song in split for part in song.tokens]
    count = sum(len(song.names) for song in split)
    announce(synth, parts, options, f"{counted(len(split), 'song')}, {counted(count, 'stem')}")
    rendered = render_stems_each(synth, split, **options, seed=seed, progress=True)
    write_stems(rendered, list(names.values()), [outputs[number] for number in names], flags)


def announce(
    synth: "Synthesizer",
    songs: Sequence["SongTokens"],
    options: Mapping[str, Any],
    title: str | None = None,
) -> None:
    """Logs the number of segments, the expected time, and faster settings if it is long."""
    title = title or counted(len(songs), "song")
    what = f"{title}, {counted(sum(len(song.tokens) for song in songs), 'segment')}"
    diffusion = synth.config.kind == "diffusion"
    names = [field.name for field in dataclasses.fields(Sampling)]
    sampling = synth.sampling.but(**{name: options.get(name) for name in names})
    faster = sampling.but(sampler=FAST.sampler, steps=FAST.steps)
    if diffusion:
        steps = counted(sampling.steps, "step")
        what += f" in {steps} of {sampling.sampler}, guidance {sampling.guidance:g}"
    logger.info("%s: compiling and measuring the speed", what)
    sampling_seconds, inverting = synth.expected_seconds(songs, **options)
    logger.info("this takes about %s", in_words(sampling_seconds + inverting))
    if diffusion and sampling_seconds > LONG_SECONDS and sampling.steps > FAST.steps:
        logger.info(
            "faster, at lower quality: --sampler %s --steps %d takes about %s",
            FAST.sampler,
            FAST.steps,
            in_words(sampling_seconds * faster.evaluations / sampling.evaluations + inverting),
        )


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: 1 song, 2 songs."""
    return f"{number} {noun}{'s' * (number > 1)}"


def in_words(seconds: float) -> str:
    """Returns a duration in at most two units: 40 s, 3 min, 2 h 40 min."""
    if seconds < 100:
        return f"{max(math.ceil(seconds), 1)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the flags; those with a setting in gin files are None if not given."""
    defaults = Rendering()
    parser = Parser(
        prog=usage_name("sample"),
        description="Renders MIDI files to audio with a spectrogram diffusion model.",
        epilog="Example: python sample.py song.mid --model base_with_context --out song.wav",
    )
    add = parser.add_argument
    add("songs", type=find_song, nargs="+", metavar="SONG.mid", help="MIDI files to render")
    add_out(
        parser,
        "audio file of one song, or a folder (default: the current one; with --stems a new one, "
        "named like the song)",
        type=str,
    )
    add(
        "--strict",
        action="store_true",
        help="stop with an error if a segment has too many notes or a song cannot be read "
        "(default: leave out those notes or that song)",
    )
    add(
        "--refuse_damaged",
        action="store_true",
        help="leave out songs whose file is damaged (default: render what can be read)",
    )
    add_max_minutes(parser)

    add_export_flags(parser)

    model = parser.add_argument_group("model")
    add_model(model, f"the one that renders (default: {defaults.model})")
    add_inverter(model)
    add_score_phases(model)
    add_seed(model, "the noise", default=None)
    add_sampling_flags(parser)

    notes = parser.add_argument_group("notes (default: as the model was trained)")
    add = notes.add_argument
    add(
        "--program_map",
        help="programs that notes are mapped to: slakh, the nearest of its 34 classes; full, "
        "unchanged; midi_class, the first of each family of eight; flat, one for all",
    )
    add(
        "--ties",
        action=YesNo,
        default=None,
        help="start segments with the notes that are held over from the segment before",
    )

    speed = parser.add_argument_group("speed")
    add_batch_size(speed, defaults.batch_size)
    add_device(speed, default=None)
    add_precision(speed, default=None)
    add_json(parser, "out (the file), seconds and sample_rate", each="file")

    add_gin_flags(
        parser.add_argument_group("settings from files (flags win)"),
        "'Sampling.steps = 100', 'Rendering.seed = 1', 'Tokenization.ties = False'",
    )
    return parser.parse_args(arguments)


def configure(flags: argparse.Namespace) -> Settings:
    """Returns the settings of gin files, bindings and flags, the last of which win."""
    classes = [Rendering, Sampling, Tokenization]
    gin_files.parse(classes, flags.gin_file, flags.gin_bindings, folder=str(CONFIGS))
    given = vars(flags)

    def asked(settings: type) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(settings)]
        flagged = {name: given[name] for name in names if given.get(name) is not None}
        if settings is Sampling:
            return combine(flagged, gin_files.given(settings))
        return {**gin_files.given(settings), **flagged}

    sampling, tokenization = asked(Sampling), asked(Tokenization)
    # Errors for values that no model allows. Programs are checked later, with the model, which may
    # provide the program map.
    PAPER_SAMPLING.but(**sampling)
    dataclasses.replace(RELEASED_TOKENIZATION, **{**tokenization, "programs": None})
    return Settings(gin_files.filled(Rendering, **asked(Rendering)), sampling, tokenization)
