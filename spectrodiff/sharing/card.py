"""Model cards: a README.md from a model, its run, its evaluation and samples of its sound.

Everything that comes from a model or a run is escaped: names and settings may hold any text.
"""

import dataclasses
import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import yaml

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import printable
from spectrodiff.diffusion.guidance import UNGUIDED
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.evaluation.results import Results
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.general_midi import PROGRAM_NAMES
from spectrodiff.report.formatting import format_seconds
from spectrodiff.report.header import how_rows_were_made, protocol
from spectrodiff.report.markdown import escape, table_lines
from spectrodiff.report.tables import measured_table
from spectrodiff.sharing.origins import Origin, release_of
from spectrodiff.sharing.privacy import hide_folders, hide_in_values, without_folders

LIBRARY = "spectrodiff"
# Names that the Hub knows; a task from notes to audio is not among its tasks.
PIPELINE = "text-to-audio"
TAGS = ("music", "midi", "audio-synthesis", "spectrogram-diffusion", "jax", "flax")
PAPER = "[Multi-instrument Music Synthesis with Spectrogram Diffusion](https://arxiv.org/abs/2206.05408)"
MAX_GIN_LINES = 400


@dataclasses.dataclass(frozen=True)
class Sample:
    """A rendered song of a card.

    Attributes:
        title: name of the song.
        audio: path of the audio file in the folder of the card.
        picture: path of its spectrogram.
        seconds: length.
    """

    title: str
    audio: str
    picture: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Card:
    """Contents of a model card.

    Attributes:
        title: name of the model.
        checkpoint: the model.
        address: argument of `spectrodiff.load`, "owner/name" or "owner/name@revision"; "" for a
            folder that is passed on by hand.
        license: identifier of the license of the weights, such as "cc-by-4.0"; "" if none is given.
        origin: the run; None if it is unknown.
        inverter: name of the inverter that is included; "" for none.
        results: scores of an evaluation.
        samples: rendered songs.
        gin: the settings that were given to the run, as text.
    """

    title: str
    checkpoint: Checkpoint
    address: str = ""
    license: str = ""
    origin: Origin | None = None
    inverter: str = ""
    results: Results | None = None
    samples: Sequence[Sample] = ()
    gin: str = ""


def write_card(card: Card) -> str:
    """Returns the card in Markdown, with the front matter that the Hub reads."""
    sections = [
        front_matter(card),
        f"# {escape(printable(card.title))}",
        _introduction(card),
        _listen(card),
        _use(card),
        _model(card),
        _training(card),
        _data(card),
        _evaluation(card),
        _limits(card),
        _license(card),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def front_matter(card: Card) -> str:
    """Returns the metadata in YAML, between two lines of dashes."""
    metadata: dict[str, object] = {"license": card.license} if card.license else {}
    metadata |= {"library_name": LIBRARY, "pipeline_tag": PIPELINE, "tags": list(TAGS)}
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---"


def _introduction(card: Card) -> str:
    config = card.checkpoint.config
    how = (
        f"by spectrogram diffusion ({PAPER})"
        if config.kind == "diffusion"
        else f"frame by frame, as the autoregressive baseline of {PAPER}"
    )
    return (
        f"Renders MIDI files to audio of {SAMPLE_RATE // 1000} kHz {how}, in segments of "
        f"{config.segment_seconds:g} seconds. Made with the library `{LIBRARY}`."
    )


def _listen(card: Card) -> str:
    if not card.samples:
        return ""
    parts = ["## Listen"]
    for sample in card.samples:
        title = escape(printable(sample.title))
        parts.append(
            f"[{title}]({quote(sample.audio)}), {sample.seconds:.0f} seconds:\n\n"
            f"![Spectrogram of {title}]({quote(sample.picture)})"
        )
    return "\n\n".join(parts)


def _use(card: Card) -> str:
    name = card.address or "path/to/this/folder"
    code = (
        f'import spectrodiff as sd\n\nsynth = sd.load({name!r})\nsong = synth.render("song.mid")\n'
        "song.audio, song.sample_rate"
    )
    command = f"spectrodiff sample song.mid --model {shlex.quote(name)} --out song.wav"
    return f"## Use\n\nWith `{LIBRARY}` installed:\n\n```python\n{code}\n```\n\n```\n{command}\n```"


def _model(card: Card) -> str:
    checkpoint, config = card.checkpoint, card.checkpoint.config
    count = sum(array.size for array in flatten(checkpoint.params).values())
    rows = [
        ("parameters", f"{count:,}"),
        ("width, heads, feed-forward", f"{config.width}, {config.heads}, {config.mlp_width}"),
        ("layers", f"{config.encoder_layers} per encoder, {config.decoder_layers} in the decoder"),
        ("segment", f"{config.target_frames} frames, {config.segment_seconds:g} s"),
        ("notes per segment", f"at most {config.note_tokens} tokens"),
        ("context", _context(config)),
        *_diffusion(checkpoint),
        *_tokenization(checkpoint),
        ("inverter to audio", card.inverter or "not included: the library's own is used"),
    ]
    return f"## Model\n\n{_table(rows)}"


def _context(config: ModelConfig) -> str:
    return f"{config.context_frames} frames before the segment" if config.has_context else "none"


def _diffusion(checkpoint: Checkpoint) -> Iterable[tuple[str, str]]:
    if checkpoint.config.kind != "diffusion":
        return []
    has_context = checkpoint.config.has_context
    sampling = checkpoint.sampling.for_network(has_context=has_context)
    branches = sampling.branches(make_schedule(checkpoint.schedule))
    evaluations = sum(each.evaluations for each in branches)
    guided = any(each != UNGUIDED for each in branches)
    guidance = f"guidance {sampling.guidance:g}" if guided else "no guidance"
    shared = f"; segments share {sampling.overlap} frames" if sampling.overlap else ""
    return [
        ("prediction, schedule", f"{checkpoint.prediction}, {checkpoint.schedule}"),
        (
            "sampling",
            f"{sampling.sampler}, {_count(sampling.steps, 'step')}, {guidance}: "
            f"{_count(evaluations, 'evaluation')} of the network per segment{shared}",
        ),
    ]


def _tokenization(checkpoint: Checkpoint) -> Iterable[tuple[str, str]]:
    tokenization = checkpoint.tokenization
    if tokenization.programs is None:
        instruments = f"all, by the map {tokenization.program_map!r}"
    else:
        names = [f"{PROGRAM_NAMES[number]} ({number})" for number in tokenization.programs]
        instruments = f"{', '.join(names) or 'none'}; others are replaced by the nearest"
    known = tokenization.drums
    drums = "all" if known is None else f"keys {', '.join(map(str, known))}" if known else "none"
    bins = tokenization.velocity_bins
    yield "instruments (General MIDI, from 0)", instruments
    yield "drums", drums
    yield "velocities", "ignored" if bins == 1 else f"{bins} levels"


def _training(card: Card) -> str:
    origin = card.origin
    if origin is None:
        return "## Training\n\nNot recorded: the model was not published from a training run."
    rows: list[tuple[str, str]] = []

    def add(title: str, text: object) -> None:
        if text not in (None, "", []):
            rows.append((title, str(text)))

    add("task", origin.setting("Training.task"))
    batch, step = origin.setting("Training.batch_size"), origin.step
    if isinstance(batch, int) and step is not None:
        hours = step * batch * card.checkpoint.config.segment_seconds / 3600
        text = f"{step:,} of {batch} segments, {hours:,.1f} hours of audio"
        add("steps", text)
    else:
        add("steps", step)
    add("started from", origin.started_from)
    add("teacher", origin.teacher)
    rate, schedule = (origin.setting(f"Optimization.{n}") for n in ("learning_rate", "schedule"))
    optimizer = origin.setting("Optimization.optimizer")
    if optimizer and rate is not None:
        add("optimizer", f"{optimizer}, learning rate {rate:g} ({schedule})")
    add("precision", origin.setting("Training.precision"))
    add("seed", origin.setting("Training.seed"))
    add("devices", ", ".join(_counted(origin.devices)))
    if origin.loss is not None:
        add("loss on evaluation examples", f"{origin.loss:.4g}")
    parts = [f"## Training\n\n{_table(rows)}"]
    if card.gin:
        lines = printable_lines(card.gin)
        listing = "\n".join(f"    {line}".rstrip() for line in lines)
        title = "<summary>Settings that were given</summary>"
        parts.append(f"<details>{title}\n\n{listing}\n\n</details>")
    return "\n\n".join(parts)


def printable_lines(text: str) -> list[str]:
    """Returns the lines of a text without control characters, at most 400 of them."""
    lines = [printable(line) for line in text.replace("\t", "    ").splitlines()]
    return lines if len(lines) <= MAX_GIN_LINES else [*lines[:MAX_GIN_LINES], "..."]


def _data(card: Card) -> str:
    if card.origin is None or not card.origin.corpora:
        return ""
    origin = card.origin
    lines = ["| corpus | split | published | license |", "|---|---|---|---|"]
    split = _cell(str(origin.setting("Data.train_split") or "train"))
    for corpus in origin.corpora:
        release = release_of(corpus)
        published, license = ("not published", "not known to the library")
        if release is not None:
            published, license = f"{release.title}, {release.page}", release.license
        elif corpus.partition("/")[0] == "soundfont":
            published = "songs rendered with a soundfont"
            license = "that of the soundfont and of the songs"
        lines.append(f"| {_cell(corpus)} | {split} | {_cell(published)} | {_cell(license)} |")
    table = "\n".join(lines)
    for name, part in ((origin.started_from, "started from"), (origin.teacher, "was taught by")):
        if name:
            model = escape(printable(name))
            table += f"\n\nAnd what {model} was trained on, the model that this one {part}."
    return f"## Data\n\n{table}"


def _evaluation(card: Card) -> str:
    results = card.results
    if results is None:
        return ""
    results = _without_folders(results)
    parts = ["## Evaluation"]
    corpora = [
        f"{corpus.title} ({_count(corpus.songs, 'song')}, {format_seconds(corpus.seconds)})"
        for corpus in results.corpora
    ]
    lines = [f"model: {results.model}"] if results.model else []
    lines += [f"corpora: {', '.join(corpora)}"] if corpora else []
    lines += [f"{titles}: {text}" for titles, text in how_rows_were_made(results)]
    if name := protocol(results):
        lines.append(f"protocol: {name}")
    parts.append("\n".join(f"- {escape(printable(hide_folders(line)))}" for line in lines))
    if table := measured_table(results):
        # No line stands out: all are of this model and what it is compared with.
        lines_of_scores = [dataclasses.replace(line, kind="part") for line in table.lines]
        parts.append(table_lines(dataclasses.replace(table, groups=[lines_of_scores])))
    return "\n\n".join(parts)


def _without_folders(results: Results) -> Results:
    """Hides folders in each text by itself: in a line, ends of paths with spaces are unknown."""
    return dataclasses.replace(
        results,
        model=without_folders(results.model),
        settings=hide_in_values(results.settings),
        rows=[dataclasses.replace(row, title=without_folders(row.title)) for row in results.rows],
    )


def _limits(card: Card) -> str:
    tokenization = card.checkpoint.tokenization
    lines = [f"Audio is mono, {SAMPLE_RATE:,} Hz: there is nothing above {SAMPLE_RATE // 2:,} Hz."]
    if tokenization.velocity_bins == 1:
        lines.append("Loudness of single notes is not rendered: tokens have one velocity.")
    if tokenization.drums == ():
        lines.append("Drums are left out.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _license(card: Card) -> str:
    if not card.license:
        return "## License\n\nNone was stated for these weights; ask their author."
    data = " The licenses of the data are above." if _data(card) else ""
    return f"## License\n\nWeights: {escape(printable(card.license))}.{data}"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = ["| | |", "|---|---|", *(f"| {_cell(name)} | {_cell(text)} |" for name, text in rows)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return escape(printable(text)).replace("|", "\\|")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _counted(names: Sequence[str]) -> list[str]:
    return [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
