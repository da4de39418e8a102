"""Resolves the dependencies for every platform and Python; --write also renews the pins.

These are requirements.txt and requirements-build.txt, with hashes of all files of a version.
Nothing is installed, and only wheels count, so that no compiler is needed. It needs `uv`.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "requirements.txt"
PINNED_BUILD = ROOT / "requirements-build.txt"
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
# What installs and builds, besides what pyproject.toml requires for it: `editables` is for editable
# installations, `setuptools` for the packages in SOURCES.
BUILDING = ("editables", "pip", "setuptools")
HEADER = """\
# Exact versions on CPUs, known to work together on Python 3.11 to 3.13, with the extra `all`.
# Written by: python .ci/resolve.py --write
"""
BUILD_HEADER = """\
# Exact versions of pip and of what builds packages: docs/installing.md says when they are needed.
# Written by: python .ci/resolve.py --write
"""


def main() -> int:
    """Prints a line per platform and Python; returns 1 if one cannot be resolved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the pins")
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
        *sources, *(word for extra in extras for word in ("--extra", extra)), "pyproject.toml",
    )  # fmt: skip
    return None if done.returncode == 0 else " ".join(done.stderr.split())


def write() -> None:
    """Renews the pins; those that still fit stay."""
    write_pins(PINNED, HEADER, "--extra", "all", "pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    building = "\n".join([*project["build-system"]["requires"], *BUILDING])
    write_pins(PINNED_BUILD, BUILD_HEADER, "--constraint", PINNED, "-", stdin=building)


def write_pins(file: Path, header: str, *words: str | Path, stdin: str = "") -> None:
    """Renews a file of pins."""
    universal = ("--universal", "--python-version", PYTHONS[0], "--generate-hashes")
    compile_pins(*universal, "--output-file", file, *words, stdin=stdin).check_returncode()
    file.write_text(header + file.read_text())


def compile_pins(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `uv pip compile`."""
    # Wheels of macOS name the oldest system that they run on.
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"]
    return subprocess.run(
        [*command, "--no-annotate", *words], input=stdin,
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
