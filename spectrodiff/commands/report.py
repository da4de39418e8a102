"""Command `report`: writes the pages of an evaluation again."""

from collections.abc import Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.files import local_path
from spectrodiff.report.page import write_report


def main(arguments: Sequence[str]) -> None:
    """Writes the pages of the evaluation on the command line."""
    parser = Parser(
        prog=usage_name("report"),
        description="Writes the pages of an evaluation again, from the scores in its folder.",
    )
    parser.add_argument("report", type=local_path, metavar="REPORT", help="folder of an evaluation")
    parser.add_argument(
        "--songs",
        type=int,
        default=3,
        metavar="N",
        help="number of songs per corpus with spectrograms, from best to worst "
        "(default: %(default)s)",
    )
    add_json(parser, "report (the page)")
    options = parser.parse_args(arguments)
    page = write_report(options.report, songs_per_corpus=options.songs)
    print_result(options, written(page), {"report": page})
