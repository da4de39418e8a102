"""Renders MIDI files to sound: python sample.py song.mid --out song.wav."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from spectrodiff import cli, gin_files
from spectrodiff.audio import AUDIO_SUFFIXES, write_audio
from spectrodiff.bundled import MINI, UNTRAINED, default_model
from spectrodiff.errors import ConfigError
from spectrodiff.files import check_writable
from spectrodiff.loudness import check_lufs, gain_to, limit
from spectrodiff.pictures import write_spectrogram

logger = logging.getLogger("spectrodiff.sample")

UNTRAINED_NOTICE = (
    "note: this model is untrained, so you will hear noise; for music, leave out --model"
)
MINI_NOTICE = (
    "note: this small model knows piano, guitar, bass, strings and flute, and no drums; "
    "for all instruments, give the released weights, for example --model base_with_context"
)
NOTICES = {UNTRAINED: UNTRAINED_NOTICE, MINI: MINI_NOTICE}
# Not folders, whatever else they are.
OTHER_AUDIO = (".mp3", ".m4a", ".aac", ".aif", ".aiff", ".opus", ".mid", ".midi", ".png")


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to render; each setting is also a flag, and the name that gin files use for it."""

    model: str = default_model()
    inverter: str | None = None
    sampler: str = "dpmpp"
    # What sweeps over steps and weights found best for the default model (benchmarks/sweeps.py).
    steps: int = 20
    guidance: float = 1.5
    variance: str = "large"
    seed: int = 0
    batch_size: int = 8
    device: str = "auto"
    precision: str = "float32"


def main(arguments: Sequence[str]) -> None:
    """Renders the songs that the command line names."""
    flags = parse_flags(arguments)
    check_loudness(flags)
    settings = configure(flags)
    outputs = name_outputs(flags.songs, flags.out, flags.format)
    for folder in {output.parent for output in outputs}:
        check_writable(folder)

    cli.enable_compilation_cache()
    # Only now, so that --help and mistakes answer at once.
    from spectrodiff.synthesis import load

    synth = load(
        settings.model,
        inverter=settings.inverter,
        precision=settings.precision,
        devices=cli.find_devices(settings.device),
    )
    if settings.model in NOTICES:
        logger.warning(NOTICES[settings.model])
    rendered = synth.render_each(
        flags.songs,
        sampler=settings.sampler,
        steps=settings.steps,
        guidance=settings.guidance,
        variance=settings.variance,
        seed=settings.seed,
        batch_size=settings.batch_size,
        strict=flags.strict,
        progress=True,
    )
    # One gain for all songs can only be found when all are there.
    for group in [list(rendered)] if flags.together else ([one] for one in rendered):
        rate = group[0][1].sample_rate
        gain = 1.0
        if flags.loudness is not None:
            gain = gain_to([song.audio for _, song in group], rate, flags.loudness)
        for number, song in group:
            audio = limit(gain * song.audio, rate, 10 ** (flags.peak / 20))
            write_audio(outputs[number], audio, rate)
            if flags.picture:
                write_spectrogram(outputs[number].with_suffix(".png"), song.log_mel)
            print(f"{outputs[number]}  {len(audio) / rate:.1f} s", flush=True)


def check_loudness(flags: argparse.Namespace) -> None:
    """Refuses impossible loudness before anything is rendered.

    Raises:
        ConfigError: if a number is out of its range, or --together has nothing to do.
    """
    if flags.loudness is not None:
        check_lufs(flags.loudness)
    if not flags.peak <= 0:
        raise ConfigError("--peak", "decibels of 0 or below", f"{flags.peak:g}")
    if flags.together and flags.loudness is None:
        raise ConfigError("--together", "a --loudness for all songs", "none")


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Flags that were not given are None, so that gin files can speak for them."""
    defaults = Sampling()
    parser = argparse.ArgumentParser(
        prog="sample.py",
        description="Turns MIDI files into sound with a spectrogram diffusion model.",
        epilog="Example: python sample.py song.mid --model base_with_context --out song.wav",
    )
    add = parser.add_argument
    add("songs", nargs="+", metavar="SONG.mid", help="MIDI files to render")
    add("--out", default=".", help="an audio file for one song, or a folder (default: here)")
    add(
        "--format",
        choices=[suffix[1:] for suffix in AUDIO_SUFFIXES],
        default="wav",
        help="kind of audio file in a folder (default: wav)",
    )
    add("--picture", action="store_true", help="also save a picture of each spectrogram (.png)")
    add(
        "--strict",
        action="store_true",
        help="refuse a song with too many notes at once instead of leaving some out",
    )

    loudness = parser.add_argument_group("loudness")
    add = loudness.add_argument
    add(
        "--loudness",
        type=float,
        metavar="LUFS",
        help="make each song this loud, -16 for example (default: as the model plays it)",
    )
    add(
        "--peak",
        type=float,
        default=0.0,
        metavar="DB",
        help="no sample is louder than this, relative to full scale; peaks are turned down "
        "smoothly (default: 0)",
    )
    add(
        "--together",
        action="store_true",
        help="one gain for all songs, so that soft ones stay softer; written when all are rendered",
    )

    sound = parser.add_argument_group("sound")
    add = sound.add_argument
    add(
        "--model",
        help="which model plays: a name (small_with_context, base_with_context), a "
        f"folder, the URL of a zip, or a Hugging Face id (default: {defaults.model})",
    )
    add(
        "--inverter",
        help="what turns spectrograms into audio: an .onnx or .safetensors file, the folder of a "
        "run that trained one, or 'griffin-lim' (default: the model's own)",
    )
    add("--seed", type=int, help="another number gives another performance (default: 0)")
    add(
        "--guidance",
        type=float,
        help=f"how strictly to follow the notes, 1 to 5 (default: {defaults.guidance:g})",
    )

    speed = parser.add_argument_group("quality and speed")
    add = speed.add_argument
    add(
        "--steps",
        type=int,
        help=f"rounds of refinement; more is slower and finer (default: {defaults.steps})",
    )
    add(
        "--sampler",
        help="dpmpp for few steps, ddpm with --steps 1000 as in the paper, or ddim "
        f"(default: {defaults.sampler})",
    )
    add(
        "--variance",
        help="noise of the ddpm sampler: large, small or medium:f with f from 0 to 1 "
        f"(default: {defaults.variance})",
    )
    add(
        "--batch_size",
        type=int,
        help=f"songs rendered side by side (default: {defaults.batch_size})",
    )
    add("--device", help="auto, cpu, gpu or tpu (default: auto, the fastest there is)")
    add("--precision", help="float32 or bfloat16 (default: float32)")

    files = parser.add_argument_group("settings from files")
    add = files.add_argument
    add(
        "--gin_file",
        action="append",
        default=[],
        metavar="FILE",
        help="read settings such as 'Sampling.steps = 100' from a file; flags win",
    )
    add(
        "--gin_bindings",
        action="append",
        default=[],
        metavar="BINDING",
        help="one such setting; may be given again",
    )
    return parser.parse_args(arguments)


def configure(flags: argparse.Namespace) -> Sampling:
    """Defaults, then gin files, then bindings, then flags."""
    gin_files.parse([Sampling], flags.gin_file, flags.gin_bindings)
    fields = [field.name for field in dataclasses.fields(Sampling)]
    return gin_files.filled(Sampling, **{name: getattr(flags, name) for name in fields})


def name_outputs(songs: Sequence[str], out: str, audio_format: str) -> list[Path]:
    """Where each song goes; two songs never go to one file."""
    if Path(out).suffix.lower() in AUDIO_SUFFIXES and not Path(out).is_dir():
        if len(songs) > 1:
            raise ConfigError("--out", f"a folder for {len(songs)} songs", f"the file {out}")
        return [Path(out)]
    if Path(out).suffix.lower() in OTHER_AUDIO and not Path(out).is_dir():
        raise ConfigError("--out", f"a folder or a name in {', '.join(AUDIO_SUFFIXES)}", out)
    outputs = [Path(out) / f"{Path(song).stem}.{audio_format}" for song in songs]
    for output in outputs:
        if outputs.count(output) > 1:
            raise ConfigError("songs", "files of different names", f"two that become {output}")
    return outputs


if __name__ == "__main__":
    sys.exit(cli.run(main))
