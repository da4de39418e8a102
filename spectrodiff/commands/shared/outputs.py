"""Names of the files that a command writes: one file, or one for each input in a folder."""

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import check_replaceable, local_path
from spectrodiff.data.corpora.folders import AUDIO_SUFFIXES, MIDI_SUFFIXES

# Suffixes that names of folders do not have.
_OTHERS = (".m4a", ".aac", ".aif", ".aiff", ".opus", ".png")
# Similarity of a suffix to one that is known; .waw and .wav have 0.75, .v2 and .wav 0.57.
_ALIKE = 0.7
_SHORTEST = 3
_FILE_SUFFIXES = (*AUDIO_SUFFIXES, *MIDI_SUFFIXES, *_OTHERS)


def name_outputs(
    inputs: Sequence[str], out: str, *, kind: str, suffix: str, suffixes: Sequence[str]
) -> list[Path]:
    """Returns the file to write for each input.

    Args:
        inputs: paths of the inputs below the folder, with a suffix that is replaced.
        out: a folder, or a file with one of the suffixes if there is one input.
        kind: word for several inputs, such as "songs".
        suffix: suffix of the files in a folder.
        suffixes: suffixes of files that can be written, in small letters.

    Raises:
        ConfigError: if two inputs would be written to one file, the format cannot be written, or
            `out` is a URL.
        OutputError: if there is something else than a file in place of one of them.
    """
    folder = local_path(out)
    if folder.suffix.lower() in suffixes and not folder.is_dir():
        if len(inputs) > 1:
            raise ConfigError("--out", f"a folder for {len(inputs)} {kind}", f"the file {out}")
        check_replaceable(folder)
        return [folder]
    if not folder.is_dir() and (near := _file_suffix(folder.suffix.lower(), suffixes)):
        hint = "" if near == folder.suffix.lower() else f" (did you mean {near}?)"
        expected = f"a folder or a name in {', '.join(suffixes)}"
        raise ConfigError("--out", expected, f"{out}{hint}")
    outputs = [folder / Path(name).parent / f"{Path(name).stem}{suffix}" for name in inputs]
    for output in outputs:
        check_replaceable(output)
    return _distinct(outputs, kind)


def name_folders(inputs: Sequence[str], out: str | None, *, kind: str) -> list[Path]:
    """Returns the folder to write for each input.

    Args:
        inputs: names of the inputs, with a suffix that folders do not get.
        out: the folder of a single input, or the one with a folder for each of several; None for
            one named like the input in the current folder.
        kind: word for several inputs, such as "songs".

    Raises:
        ConfigError: if two inputs would be written to one folder, or `out` is a URL or a file.
    """
    if out is not None:
        folder = local_path(out)
        if not folder.is_dir() and (folder.exists() or folder.suffix.lower() in _FILE_SUFFIXES):
            raise ConfigError("--out", "a folder, since each song has several files", out)
        if len(inputs) == 1:
            return [folder]
    # A name such as "...mid" would become "..", the folder above.
    names = [name if set(Path(name).stem) <= {"."} else Path(name).stem for name in inputs]
    return _distinct([local_path(out or ".") / name for name in names], kind)


def _file_suffix(suffix: str, suffixes: Sequence[str]) -> str | None:
    """Returns the suffix of files that a suffix is, or was meant to be; None for that of a folder.

    A folder with such a name can be made beforehand.
    """
    if suffix in _FILE_SUFFIXES or len(suffix) < _SHORTEST:
        return suffix if suffix in _FILE_SUFFIXES else None
    near = difflib.get_close_matches(suffix, suffixes, n=1, cutoff=_ALIKE)
    return near[0] if near else None


def _distinct(outputs: list[Path], kind: str) -> list[Path]:
    for output, count in Counter(outputs).items():
        if count > 1:
            raise ConfigError(kind, "files of different names", f"two that become {output}")
    return outputs
