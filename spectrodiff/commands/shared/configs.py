"""Configs that come with the package, found by name from any folder."""

from pathlib import Path

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import package_folder
from spectrodiff.core.suggestions import nearest

SUFFIX = ".gin"


CONFIGS = package_folder("configs")


def find_config(name: str, folder: str | Path | None = None) -> Path:
    """Returns the file of a config.

    Args:
        name: path of a file, or the name of a config in the folder, such as "tiny.gin", "tiny",
            "paper/small_context" or "configs/tiny.gin".
        folder: of the configs; None for files only.

    Raises:
        ConfigError: if there is no such file; the message names the nearest config.
    """
    if _is_file(Path(name)):
        return Path(name)
    if folder is None:
        raise ConfigError(name, "a gin file", "no such file")
    short = name.removeprefix("configs/")
    for inside in (short, f"{short}{SUFFIX}"):
        if _is_file(path := Path(folder) / inside):
            return path
    paths = (path.relative_to(folder) for path in Path(folder).rglob(f"*{SUFFIX}"))
    names = sorted(path.with_suffix("").as_posix() for path in paths)
    wrong = short.removesuffix(SUFFIX)
    near = nearest(wrong, names) or nearest(wrong, [one for one in names if _ends(one, wrong)])
    hint = f" (did you mean {near}{SUFFIX}?)" if near else f"; configs are in {folder}"
    raise ConfigError(name, "a gin file", f"no such file{hint}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _ends(name: str, wrong: str) -> bool:
    return name.rpartition("/")[2] == wrong.rpartition("/")[2]
