"""Head of a report: how its rows were made, from the settings of the evaluation."""

from collections.abc import Mapping
from pathlib import PurePath

from spectrodiff.evaluation.results import Results


def protocol(results: Results) -> str:
    """Returns the protocol of the evaluation; "" in files that name none."""
    return str(results.settings.get("protocol") or "")


def how_rows_were_made(results: Results) -> list[tuple[str, str]]:
    """Returns titles of rows, and how they were sampled and inverted.

    Rows that were made alike share an entry. References have only an inverter or a soundfont, and
    the recording itself has no entry.
    """
    if not results.settings:
        return []
    of_row = _settings_of_rows(results.settings)
    alike: dict[str, list[str]] = {}
    for row in results.rows:
        # Older files do not tell the source of a row.
        if "raw" not in (row.source, row.name):
            own = {k: v for k, v in of_row.get(row.name, {}).items() if v is not None}
            text = (
                _describe_soundfont(own)
                if row.source == "soundfont"
                else _describe({**results.settings, **own}, sampled=not row.is_reference)
            )
            alike.setdefault(text, []).append(row.title)
    return [(" · ".join(titles), text) for text, titles in alike.items()]


def _settings_of_rows(settings: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    rows = settings.get("rows", ())
    listed = rows if isinstance(rows, list | tuple) else ()
    return {str(row.get("name")): row for row in listed if isinstance(row, Mapping)}


def _describe_soundfont(row: Mapping[str, object]) -> str:
    soundfont = row.get("soundfont")
    return f"soundfont {PurePath(str(soundfont)).name}" if soundfont else "soundfont TimGM6mb.sf2"


def _describe_steps(settings: Mapping[str, object]) -> list[str]:
    """Returns the settings of steps and guidance that differ from the usual ones."""
    parts = []
    times, start, ends = (settings.get(name) for name in ("times", "start", "guidance_times"))
    if isinstance(times, list | tuple):
        parts.append(f"at times {', '.join(map(str, times))}")
    else:
        if settings.get("spacing") == "logsnr":
            parts.append("equal in log-SNR")
        if start not in (None, 1.0):
            parts.append(f"from time {start}")
    if isinstance(ends, list | tuple) and list(ends) != [0.0, 1.0]:
        parts.append(f"guided at times {' to '.join(map(str, ends))}")
    if settings.get("context_guidance") is not None:
        parts.append(f"guidance of the context {settings['context_guidance']}")
    if settings.get("overlap"):
        parts.append(f"overlap of {settings['overlap']} frames")
    return parts


def _describe(settings: Mapping[str, object], *, sampled: bool) -> str:
    parts = []
    if sampled:
        words = {"sampler": "{}", "steps": "{} steps", "guidance": "guidance {}", "seed": "seed {}"}
        known = {name: settings.get(name) for name in words}
        parts = [words[name].format(value) for name, value in known.items() if value is not None]
        variance = settings.get("variance")
        # Only the sampler of the paper has one, nearly always this one.
        if variance not in (None, "large") and settings.get("sampler") == "ddpm":
            parts.append(f"variance {variance}")
        parts += _describe_steps(settings)
        if settings.get("mask_context"):
            parts.append("without context")
    inverter = settings.get("inverter")
    parts.append("the model's inverter" if inverter is None else f"inverter {inverter}")
    return ", ".join(parts)
