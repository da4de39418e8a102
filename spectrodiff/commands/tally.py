"""Answers of a listening test, counted."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.commands.program import usage_name
from spectrodiff.report.tally import tally


def main(arguments: Sequence[str]) -> None:
    """Counts the answers in the files that the command line names."""
    parser = argparse.ArgumentParser(
        prog=usage_name("tally"),
        description="Counts what listeners preferred.",
    )
    parser.add_argument("key", type=Path, metavar="KEY", help="DIR-key.json of a sheet")
    parser.add_argument("answers", type=Path, nargs="+", metavar="CSV", help="downloaded answers")
    options = parser.parse_args(arguments)
    for result in tally(options.key, options.answers):
        print(
            f"{result.first}: {result.first_better}   no difference: {result.same}   "
            f"{result.second}: {result.second_better}   p = {result.p_value:.3g}"
        )
