"""Command `tally`: counts the answers of a listening test."""

from collections.abc import Sequence

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result
from spectrodiff.core.errors import printable
from spectrodiff.core.files import local_path
from spectrodiff.report.tally import Preference, tally


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
    keys = "first, second, first_better, same, second_better, listeners, preference, low, high "
    add_json(parser, f"{keys}and p_value", each="pair of models")
    options = parser.parse_args(arguments)
    for result in tally(options.key, options.answers):
        print_result(options, describe(result), result)


def describe(result: Preference) -> str:
    """Returns two lines: the answers, and what they say about the preference."""
    answers = (
        f"{printable(result.first)}: {result.first_better}   no difference: {result.same}   "
        f"{printable(result.second)}: {result.second_better}"
    )
    if result.low is None or result.high is None:
        verdict = (
            f"one listener, who prefers the first by {result.preference:+.2f}; "
            f"p = {result.p_value:.3g} (sign test, of this listener alone)"
        )
    else:
        verdict = (
            f"{result.listeners} listeners, who prefer the first by {result.preference:+.2f} "
            f"[{result.low:+.2f}, {result.high:+.2f}]; "
            f"p = {result.p_value:.3g} (sign-flip test over listeners)"
        )
    return f"{answers}\n{verdict}"
