"""Contents of an HTML page, by the parser of the standard library."""

import html.parser
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

_VOID = {"br", "col", "hr", "img", "input", "link", "meta"}


@dataclass
class Element:
    """An element, its own text and that of all elements in it."""

    name: str
    attributes: dict[str, str | None]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return "".join(parts)

    def all(self, name: str, **attributes: str) -> list["Element"]:
        """Elements of a name below this one; `class_` looks for one of several classes."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.name == name and child._has(attributes):
                    found.append(child)
                found += child.all(name, **attributes)
        return found

    def names(self) -> set[str]:
        """Names of all elements below this one."""
        below = [child for child in self.children if isinstance(child, Element)]
        return {child.name for child in below}.union(*(child.names() for child in below))

    def _has(self, wanted: dict[str, str]) -> bool:
        classes = (self.attributes.get("class") or "").split()
        return all(
            value in classes if key == "class_" else self.attributes.get(key) == value
            for key, value in wanted.items()
        )


class _Parser(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack = [Element("document", {})]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        self.stack[-1].children.append(element)
        if tag not in _VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag, attrs):
        self.stack[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack[-1].name == tag, f"</{tag}> closes <{self.stack[-1].name}>"
        self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].children.append(data)


def parse(page: Path) -> Element:
    return parse_text(page.read_text(encoding="utf-8"))


def parse_markdown(text: str) -> Element:
    """Elements of a text in Markdown, with the tables and struck-out text of GitHub."""
    from markdown_it import MarkdownIt

    return parse_text(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def parse_text(text: str) -> Element:
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert len(parser.stack) == 1, f"<{parser.stack[-1].name}> is not closed"
    return parser.stack[0]


def table_cells(table: Element) -> list[list[str]]:
    """Texts of a table's cells; notes below a number are set apart by a space."""
    return [
        [
            " ".join(part if isinstance(part, str) else part.text for part in cell.children)
            for cell in row.children
            if isinstance(cell, Element)
        ]
        for row in table.all("tr")
    ]


def local_file(page: Path, url: str) -> Path:
    """The file that a relative URL in a page leads to, as a browser resolves it."""
    parts = urlsplit(url)
    assert not parts.scheme
    assert not parts.netloc
    assert not parts.query
    assert not parts.fragment
    return page.parent / unquote(parts.path)
