"""Settings from gin files and bindings.

Commands use gin to fill frozen dataclasses, which they pass to the library; the library does not
use gin. Gin's errors become `ConfigError`, with a suggestion for a misspelled name.
"""

import copy
import dataclasses

# gin uses this when a file is missing, but does not import it.
import importlib.util  # noqa: F401
import logging
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from spectrodiff.commands.shared.configs import find_config
from spectrodiff.commands.shared.gin_errors import correct
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import atomic_file
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
        folder: of the configs that come with the package; files include each other from there.

    Raises:
        ConfigError: for a missing file, a syntax error, or an unknown name.
    """
    import gin

    gin.clear_config()
    for settings in classes:
        if not _is_registered(settings.__name__):
            gin.external_configurable(settings, name=settings.__name__)
    if folder is not None:
        gin.add_config_file_search_path(folder)
    paths = [str(find_config(file, folder)) for file in files]
    # Gin logs an error for each folder without an included file, even if another folder has it.
    log = logging.getLogger()
    log.addFilter(_is_worth_logging)
    try:
        gin.parse_config_files_and_bindings(paths, list(bindings), skip_unknown=False)
    except Exception as error:  # gin raises many types, all about the config
        if isinstance(error, SyntaxError | tokenize.TokenError):
            _raise_corrected(list(_statements(paths, bindings, folder)))
        if match := re.match(r"Unable to open file: (.*?)\. Searched", str(error)):
            find_config(match[1], folder)
        subject = ", ".join([*files, *bindings])
        raise ConfigError(subject, *_explain(str(error), classes)) from error
    finally:
        log.removeFilter(_is_worth_logging)
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


class _Statement(NamedTuple):
    """Statement of a gin file, or a binding, of which `line` is None."""

    file: str
    line: int | None
    text: str


def _statements(
    paths: Sequence[str], bindings: Sequence[str], folder: str | None
) -> Iterator[_Statement]:
    """Yields the statements of files, of the files that they include, and of bindings."""
    for path in paths:
        # The lines that follow the first one of a statement are indented, or close a bracket.
        for match in re.finditer(r"^[A-Za-z_].*(?:\n(?![A-Za-z_#]).*)*", _read(path), re.MULTILINE):
            line = _read(path).count("\n", 0, match.start()) + 1
            yield _Statement(path, line, match[0].strip())
            if include := re.match(r"include\s+['\"](.*?)['\"]", match[0]):
                yield from _statements([str(find_config(include[1], folder))], [], folder)
    yield from (_Statement("--gin_bindings", None, binding) for binding in bindings)


def _read(path: str) -> str:
    return Path(path).read_text("utf-8", errors="replace")


def _raise_corrected(statements: Sequence[_Statement]) -> None:
    """Raises ConfigError for the first statement that is known to be wrong and how."""
    text = "\n".join(statement.text for statement in statements)
    macros = {*re.findall(r"%(\w+)", text), *re.findall(r"^(\w+)\s*=", text, re.MULTILINE)}
    for file, line, statement in statements:
        if correction := correct(statement, macros):
            quoted = f'"{correction.line}"' if line is None else correction.line
            subject = file if line is None else f"{file}, line {line}"
            got = " ".join(statement.split())
            raise ConfigError(subject, f"{quoted}, with {correction.rule}", got)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Path not found")


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
