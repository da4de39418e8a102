"""Settings from gin files and bindings.

Commands use gin to fill frozen dataclasses, which they pass to the library; the library does not
use gin. Gin's errors become `ConfigError`, with a suggestion for a misspelled name.
"""

import copy
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from spectrodiff.commands.shared.configs import find_config
from spectrodiff.commands.shared.gin_errors import correct
from spectrodiff.commands.shared.gin_statements import Refused, is_read, read
from spectrodiff.core.errors import ConfigError, first_line
from spectrodiff.core.files import atomic_file
from spectrodiff.core.json_files import MAX_TEXT_BYTES, text_of
from spectrodiff.core.suggestions import nearest

Settings = TypeVar("Settings")

GIVEN, OPERATIVE = "given.gin", "operative.gin"


def parse(
    classes: Sequence[type],
    files: Sequence[str],
    bindings: Sequence[str],
    folder: str | None = None,
) -> None:
    """Reads gin files, then bindings; later ones win. Settings read before are removed.

    Args:
        classes: frozen dataclasses that can be configured, under their own names.
        files: paths, or names of configs in `folder` (see `find_config`).
        bindings: such as "Sampling.steps = 50".
        folder: of the configs that come with the package; files include each other from there, by
            the names that `files` may have, too.

    Raises:
        ConfigError: for a missing file, a syntax error, or an unknown name.
    """
    import gin

    gin.clear_config()
    for settings in classes:
        if not _is_registered(settings.__name__):
            gin.external_configurable(settings, name=settings.__name__)
    given = [_read(str(find_config(file, folder))) for file in files]
    texts = [
        text
        for file, whole in [*given, (_BINDINGS, "\n".join(bindings))]
        for text in _texts(file, whole, folder)
    ]
    _check_syntax(texts)
    try:
        for text in texts:
            gin.parse_config(text.text)
        gin.finalize()
    except Exception as error:  # gin raises many types, all about the config
        subject = ", ".join([*files, *bindings])
        raise ConfigError(subject, *_explain(str(error), classes)) from error
    _check_macros(bindings)


def filled(settings: type[Settings], **overrides: Any) -> Settings:
    """Returns an instance with gin's values.

    Args:
        settings: the class, a dataclass.
        overrides: values that replace gin's, except None.

    Raises:
        ConfigError: if a required value is missing or a value is impossible.
    """
    import gin

    chosen = {name: value for name, value in overrides.items() if value is not None}
    try:
        return gin.get_configurable(settings.__name__)(**chosen)
    except ConfigError as error:
        # Without the lines that gin adds to the message.
        raise ConfigError(error.subject, error.expected, error.got) from None
    except Exception as error:
        raise ConfigError(settings.__name__, *_explain(str(error), [settings])) from error


def given(settings: type[Settings]) -> dict[str, Any]:
    """Returns the values that gin was given for fields of a dataclass, by name, without defaults.

    The values are not checked, because that can depend on the other fields.

    Raises:
        ConfigError: if a macro has no value.
    """
    import gin

    names = [field.name for field in dataclasses.fields(cast(Any, settings))]
    bound = {}
    for name in names:
        try:
            value = gin.query_parameter(f"{settings.__name__}.{name}")
        except ValueError:  # not bound
            continue
        try:
            bound[name] = copy.deepcopy(value)  # replaces macros by their values
        except Exception as error:
            raise ConfigError(settings.__name__, *_explain(str(error), [settings])) from error
    return bound


def write(folder: Path) -> None:
    """Writes the given settings, and the used ones with defaults, to two files in a folder."""
    import gin

    for name, text in ((GIVEN, gin.config_str()), (OPERATIVE, gin.operative_config_str())):
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text)


class _Text(NamedTuple):
    """Text without includes, of a file or the bindings, and a statement that gin refuses."""

    file: str
    text: str
    refused: Refused | None = None


_BINDINGS = "--gin_bindings"


def _read(path: str) -> tuple[str, str]:
    """Returns the path and the text of a file."""
    try:
        return path, text_of(path, MAX_TEXT_BYTES)
    except UnicodeDecodeError as error:
        raise ConfigError(path, "a gin file, of UTF-8", first_line(error)) from None
    except OSError as error:
        raise ConfigError(path, "a gin file", first_line(error)) from error


def _texts(
    file: str, text: str, folder: str | None, within: tuple[str, ...] = ()
) -> Iterator[_Text]:
    """Yields the parts of a text, with those of included files between them.

    Gin itself would look for included files in the folders of earlier calls, too, and does not
    know the names that `find_config` takes.
    """
    includes, refused = read(text)
    lines, first = text.split("\n"), 0
    for include in includes:
        included = str(find_config(include.file, folder))
        if included in (*within, file):
            expected = "files that do not include themselves"
            subject = f"{file}, line {include.line}"
            raise ConfigError(subject, expected, f"include {include.file!r}")
        yield _Text(file, "\n".join(lines[first : include.line - 1]))
        yield from _texts(*_read(included), folder, (*within, file))
        first = include.end - 1
    yield _Text(file, "\n".join(lines[first:]), refused)


def _check_syntax(texts: Sequence[_Text]) -> None:
    """Raises ConfigError for the first statement that gin refuses."""
    whole = "\n".join(text.text for text in texts)
    macros = {*re.findall(r"%(\w+)", whole), *re.findall(r"^(\w+)\s*=", whole, re.MULTILINE)}
    for file, _, refused in texts:
        if refused is None or is_read(refused.text):
            continue
        expected = "gin syntax (text in quotes)"
        if correction := correct(refused.text, macros):
            line = correction.line or "gin syntax"
            quoted = f'"{line}"' if correction.line and file == _BINDINGS else line
            expected = f"{quoted}, with {correction.rule}"
        subject = file if file == _BINDINGS else f"{file}, line {refused.line}"
        raise ConfigError(subject, expected, " ".join(refused.text.split()))


def _check_macros(bindings: Sequence[str]) -> None:
    """Checks that macros in bindings are used, such as %STEPS for "STEPS = 3"; gin does not."""
    import gin

    used = re.findall(r"%([\w.]+)", gin.config_str())
    for binding in bindings:
        match = re.match(r"\s*([A-Za-z_]\w*)\s*=", binding)
        if match and match[1] not in used:
            names = sorted({name.rsplit(".", 1)[-1] for name in used})
            raise ConfigError(binding, *_suggest("a macro of these files", match[1], names))


def _is_registered(name: str) -> bool:
    import gin

    try:
        gin.get_configurable(name)
    except ValueError:
        return False
    return True


def _explain(message: str, classes: Sequence[type]) -> tuple[str, str]:
    """Returns the expected and the found value, according to gin's message."""
    parameters = {
        settings.__name__: [field.name for field in dataclasses.fields(settings)]
        for settings in classes
    }
    if match := re.search(r"No configurable matching '([^']*)'", message):
        return _suggest("a name that can be configured", match[1], list(parameters))
    if match := re.search(r"'([^']*)'.* doesn't have a parameter named '([^']*)'", message):
        owner = match[1].rsplit(".", 1)[-1]
        return _suggest(f"a setting of {owner}", match[2], parameters.get(owner, []))
    if match := re.search(r"Required bindings for .* not provided in config: (.*)", message):
        return f"a value for {match[1]}", "none"
    if match := re.search(r"No bindings specified for '([^']*)/gin.macro'", message):
        near = nearest(match[1], [name for name in _macros() if name != match[1]])
        return (
            f"a value for the macro {match[1]}",
            f"none (did you mean %{near}?)" if near else "none",
        )
    if match := re.search(r"No configurable matching reference '@([^']*)'", message):
        return _suggest("a class behind the @", match[1].removesuffix("()"), list(parameters))
    return "gin syntax (text in quotes)", message.strip().splitlines()[0]


def _macros() -> list[str]:
    """Returns the names of the macros that have a value."""
    import gin

    return re.findall(r"^([A-Za-z_]\w*) = ", gin.config_str(), re.MULTILINE)


def _suggest(what: str, wrong: str, names: Sequence[str]) -> tuple[str, str]:
    if near := nearest(wrong, names, cutoff=0.5):
        return what, f"{wrong!r} (did you mean {near!r}?)"
    return f"{what}: {', '.join(names) or 'there is none'}", repr(wrong)
