"""Resolves the dependencies for every platform and Python; --write also renews requirements.txt.

Nothing is installed, and only wheels count, so that no compiler is needed. It needs `uv`.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "requirements.txt"
PLATFORMS = {
    "Linux": "x86_64-manylinux_2_28",
    "Linux (ARM)": "aarch64-manylinux_2_28",
    "macOS": "aarch64-apple-darwin",
    "Windows": "x86_64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Groups of extras, and the platforms that they are for.
EXTRAS = {
    "rendering": ((), tuple(PLATFORMS)),
    "all": (("all",), tuple(PLATFORMS)),
    "cuda12": (("all", "cuda12"), ("Linux",)),
    "cuda13": (("all", "cuda13"), ("Linux",)),
}
# Pure Python without wheels: they are built anywhere.
SOURCES = ("promise", "pretty-midi")
HEADER = """\
# Exact versions on CPUs, known to work together on Python 3.11 to 3.13, with the extra `all`.
# Written by: python .ci/resolve.py --write
"""


def main() -> int:
    """Prints a line per platform and Python; returns 1 if one cannot be resolved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew requirements.txt")
    parser.add_argument("--platform", choices=PLATFORMS, action="append", help="only this one")
    parser.add_argument("--python", choices=PYTHONS, action="append", help="only this one")
    parser.add_argument("--extra", choices=EXTRAS, action="append", help="only this one")
    flags = parser.parse_args()
    failed = False
    for extra, (extras, platforms) in EXTRAS.items():
        for platform in platforms:
            for python in PYTHONS:
                named = zip(
                    (flags.extra, flags.platform, flags.python),
                    (extra, platform, python),
                    strict=True,
                )
                if all(only is None or name in only for only, name in named):
                    error = resolve(extras, PLATFORMS[platform], python)
                    failed |= error is not None
                    print(f"{extra:9}  {platform:11}  Python {python}  {error or 'ok'}", flush=True)
    if flags.write and not failed:
        write()
    return failed


def resolve(extras: tuple[str, ...], platform: str, python: str) -> str | None:
    """Returns why the dependencies cannot be resolved; None if they can."""
    sources = [word for package in SOURCES for word in ("--no-binary", package)]
    done = compile_pins(
        "--python-platform", platform, "--python-version", python, "--only-binary", ":all:",
        *sources, *(word for extra in extras for word in ("--extra", extra)),
    )  # fmt: skip
    return None if done.returncode == 0 else " ".join(done.stderr.split())


def write() -> None:
    """Renews the pins; those that still fit stay."""
    done = compile_pins(
        "--universal", "--python-version", PYTHONS[0], "--extra", "all", "--output-file", PINNED
    )  # fmt: skip
    done.check_returncode()
    PINNED.write_text(HEADER + PINNED.read_text())


def compile_pins(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `uv pip compile` on the requirements in pyproject.toml."""
    # Wheels of macOS name the oldest system that they run on.
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"]
    return subprocess.run(
        [*command, "--no-annotate", *words, "pyproject.toml"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
