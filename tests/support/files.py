"""Contents of folders."""

from pathlib import Path


def files_below(folder: Path) -> dict[str, bytes]:
    """Contents by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
