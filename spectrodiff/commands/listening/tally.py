"""Command `tally`: counts the answers of a listening test."""

from collections.abc import Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.core.files import local_path
from spectrodiff.report.tally import tally


def main(arguments: Sequence[str]) -> None:
    """Counts the answers in the files on the command line."""
    parser = Parser(
        prog=usage_name("tally"),
        description="Counts the preferences of listeners.",
    )
    parser.add_argument("key", type=local_path, metavar="KEY", help="key of the test, DIR-key.json")
    parser.add_argument(
        "answers", type=local_path, nargs="+", metavar="CSV", help="downloaded answers"
    )
    options = parser.parse_args(arguments)
    for result in tally(options.key, options.answers):
        print(
            f"{result.first}: {result.first_better}   no difference: {result.same}   "
            f"{result.second}: {result.second_better}"
        )
        if result.low is None or result.high is None:
            print(
                f"one listener, who prefers the first by {result.preference:+.2f}; "
                f"p = {result.p_value:.3g} (sign test, of this listener alone)"
            )
        else:
            print(
                f"{result.listeners} listeners, who prefer the first by {result.preference:+.2f} "
                f"[{result.low:+.2f}, {result.high:+.2f}]; "
                f"p = {result.p_value:.3g} (sign-flip test over listeners)"
            )
