"""Command `compare`: differences between two evaluations, or two rows of one, song by song."""

from collections.abc import Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.core.files import local_path


def main(arguments: Sequence[str]) -> None:
    """Compares the evaluations or rows on the command line."""
    parser = Parser(
        prog=usage_name("compare"),
        description="Compares two evaluations, or two rows of one, over the songs that they share: "
        "mean differences with 95 % intervals, and p-values of a paired test.",
    )
    add = parser.add_argument
    add("first", type=local_path, metavar="A", help="folder of an evaluation")
    add("second", type=local_path, nargs="?", metavar="B", help="folder of another (default: A)")
    add("--row", default="model", help="row of A (default: %(default)s)")
    add("--to", metavar="ROW", help="row of B (default: the same as of A)")
    add("--json", type=local_path, metavar="FILE", help="also write all numbers to this file")
    options = parser.parse_args(arguments)
    # Imported late, so that --help is fast.
    from spectrodiff.evaluation.comparison import FORMAT, compare_rows
    from spectrodiff.evaluation.dataclass_json import write_dataclass
    from spectrodiff.report import comparison_table

    comparison = compare_rows(options.first, options.second, row=options.row, to=options.to)
    print(comparison_table(comparison), end="")
    if options.json:
        write_dataclass(options.json, comparison, FORMAT)
