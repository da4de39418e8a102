"""Rewrites a report; makes a listening sheet of several; counts its answers.

python -m spectrodiff.report REPORT
python -m spectrodiff.report listen REPORT_A REPORT_B --out sheet
python -m spectrodiff.report tally sheet-key.json answers.csv ...
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spectrodiff import cli
from spectrodiff.report.listening import key_path, write_listening_sheet
from spectrodiff.report.page import write_report
from spectrodiff.report.tally import tally


def main(arguments: Sequence[str]) -> None:
    """Does what the first word says; without one of these words it is a report's folder."""
    commands = {"listen": _listen, "tally": _tally}
    if arguments and arguments[0] in commands:
        commands[arguments[0]](arguments[1:])
    else:
        _report(arguments)


def _report(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m spectrodiff.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", type=Path, metavar="REPORT", help="what eval.py wrote")
    parser.add_argument(
        "--songs",
        type=int,
        default=3,
        metavar="N",
        help="songs of each corpus with spectrograms, from best to worst (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    print(write_report(options.report, songs_per_corpus=options.songs))


def _listen(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m spectrodiff.report listen",
        description="Makes a blind listening test of the songs that evaluations share. The key "
        "that tells which file is whose goes beside the folder; keep it from listeners.",
    )
    add = parser.add_argument
    add("reports", type=Path, nargs="+", metavar="REPORT", help="two or more that eval.py wrote")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    add("--row", default="model", help="whose audio is compared (default: %(default)s)")
    add("--title", default="Listening test", help="of the page (default: %(default)s)")
    add("--songs", type=int, metavar="N", help="at most so many (default: all)")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="only so much, from the middle of each song (default: whole songs)",
    )
    options = parser.parse_args(arguments)
    page = write_listening_sheet(
        options.reports,
        options.out,
        row=options.row,
        title=options.title,
        max_songs=options.songs,
        excerpt_seconds=options.seconds,
    )
    print(f"{page}  (key: {key_path(options.out)})")


def _tally(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m spectrodiff.report tally",
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


if __name__ == "__main__":
    sys.exit(cli.run(main))
