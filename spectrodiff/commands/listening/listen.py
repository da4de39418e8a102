"""Command `listen`: a blind listening test of several evaluations."""

from collections.abc import Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_out
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.files import local_path
from spectrodiff.report.listening import key_path, write_listening_sheet


def main(arguments: Sequence[str]) -> None:
    """Makes a listening test of the evaluations on the command line."""
    parser = Parser(
        prog=usage_name("listen"),
        description="Makes a blind listening test of the songs that evaluations share. The key, "
        "which names the model of each file, is written beside the folder; do not give it to "
        "listeners.",
    )
    add = parser.add_argument
    add(
        "reports",
        type=local_path,
        nargs="+",
        metavar="REPORT",
        help="folders of two or more evaluations",
    )
    add_out(parser, "folder to make", required=True, metavar="DIR")
    add("--row", default="model", help="row whose audio is compared (default: %(default)s)")
    add("--title", default="Listening test", help="title of the page (default: %(default)s)")
    add("--songs", type=int, metavar="N", help="maximum number of songs (default: all)")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="length of an excerpt from the middle of each song (default: whole songs)",
    )
    add(
        "--no_loudness_match",
        action="store_true",
        help="keep the loudness of the clips (default: those of a comparison are equally loud)",
    )
    add_json(parser, "out (the page) and key")
    options = parser.parse_args(arguments)
    page = write_listening_sheet(
        options.reports,
        options.out,
        row=options.row,
        title=options.title,
        max_songs=options.songs,
        excerpt_seconds=options.seconds,
        match_loudness=not options.no_loudness_match,
    )
    key = key_path(options.out)
    print_result(options, f"{written(page)}  (key: {written(key)})", {"out": page, "key": key})
