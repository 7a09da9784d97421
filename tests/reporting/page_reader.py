"""Reads a page as a browser would, as far as a test needs: elements, attributes, text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    nodes: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [node for node in self.nodes if isinstance(node, Element)]

    @property
    def text(self) -> str:
        """The text as it runs on in a line, with single spaces."""
        return " ".join("".join(self._texts()).split())

    @property
    def words(self) -> str:
        """The text with a space between elements, as for elements that stand below each other."""
        return " ".join(" ".join(self._texts()).split())

    def _texts(self) -> list[str]:
        return [t for n in self.nodes for t in ([n] if isinstance(n, str) else n._texts())]

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Elements below this one, in order, with the tag and the attributes."""
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        found = []
        for child in self.children:
            matches = all(child.attributes.get(k) == v for k, v in wanted.items())
            if matches and tag in (None, child.tag):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {k: v or "" for k, v in attrs})
        self.open[-1].nodes.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].nodes.append(Element(tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.tag == tag, f"</{tag}> closes <{closed.tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].nodes.append(data)


def read(html: str) -> Element:
    """The page's tree; an assertion fails where tags are not properly nested and closed."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open == [builder.root], f"<{builder.open[-1].tag}> is never closed"
    return builder.root
