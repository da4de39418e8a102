"""Command `compare`: differences between two evaluations, or two rows of one, song by song."""

from collections.abc import Iterator, Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.flags import add_out
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result
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
    add_out(parser, "also write all numbers to this JSON file", metavar="FILE")
    add_json(parser, "first, second, corpora and notes")
    options = parser.parse_args(list(_renamed(arguments)))
    # Imported late, so that --help is fast.
    from spectrodiff.evaluation.comparison import FORMAT, compare_rows
    from spectrodiff.evaluation.dataclass_json import write_dataclass
    from spectrodiff.report import comparison_table

    comparison = compare_rows(options.first, options.second, row=options.row, to=options.to)
    print_result(options, comparison_table(comparison).rstrip("\n"), comparison)
    if options.out:
        write_dataclass(options.out, comparison, FORMAT)


def _renamed(arguments: Sequence[str]) -> Iterator[str]:
    """Yields arguments with --out in place of --json before a file, its meaning in version 0.1."""
    following = [*arguments, ""][1:]
    for text, after in zip(arguments, following, strict=True):
        old = text.startswith("--json=") or (text == "--json" and after.endswith(".json"))
        yield text.replace("--json", "--out", 1) if old else text
