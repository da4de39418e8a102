"""Runs a program with another clock: python -m tests.campaigns.shifted SECONDS PROGRAM ..."""

import runpy
import sys
import time


def main() -> None:
    """Sets the clock of Python, then runs the script or, after -m, the module."""
    seconds, *words = sys.argv[1:]
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + float(seconds)
    time.time_ns = lambda: now_ns() + int(float(seconds) * 1e9)
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main()
