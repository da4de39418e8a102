"""Names that a module imports, from its source."""

import ast
from collections.abc import Iterator


def imported(source: str) -> Iterator[str]:
    """Dotted names that a module imports, also in programs that it holds as strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from (f"{package}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and "import" in str(node.value):
            try:
                yield from imported(node.value)
            except (SyntaxError, TypeError):  # prose
                continue
