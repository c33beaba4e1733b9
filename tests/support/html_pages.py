"""HTML as a browser reads it: its elements, its text, and what JupyterLab leaves of it where it trusts nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr"})
_HIDDEN = frozenset({"style", "script"})
_BREAKS = frozenset({"p", "div", "tr", "li", "summary", "caption", "table", "section", "img", "pre"})

# JupyterLab 4.6, packages/apputils/src/sanitizer.ts: `allowedAttributes`, as far as elements of ours are concerned.
_KEPT_EVERYWHERE = frozenset({"class", "dir", "hidden", "lang", "style", "title"})
_KEPT = {
    "img": {"alt", "height", "src", "width"},
    "th": {"colspan", "scope", "width"},
    "td": {"colspan", "scope", "width"},
    "details": {"open"},
}
_KEPT_TAGS = frozenset(
    "b bdi caption code details div em i img li p pre section small span strong summary table tbody td th thead time tr"
    " ul".split()
)
_PARENTS = {"tr": {"thead", "tbody"}, "td": {"tr"}, "th": {"tr"}, "li": {"ul", "ol"}, "summary": {"details"}}
_ENDS = {"td": {"td", "th"}, "th": {"td", "th"}, "tr": {"td", "th", "tr"}, "tbody": {"td", "th", "tr"}}
_MAY_STAY_OPEN = frozenset({"td", "th", "tr"})


@dataclass
class Page(HTMLParser):
    """One parsed piece. `elements` are tags with their attributes, in order; `problems` say what is not well formed."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(self.source)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]

    __hash__ = None  # type: ignore[assignment]

    @property
    def text(self) -> str:
        """What can be read, pictures by their words."""
        lines = ("".join(self._text)).split("\n")
        return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def classes(self) -> set[str]:
        return {name for _, attributes in self.elements for name in (attributes.get("class") or "").split()}

    def sanitised(self) -> Page:
        """What is left in a notebook that is not trusted."""
        return Page(_Sanitised(self.source).result)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> has an attribute twice")
        while self._open and self._open[-1] in _ENDS.get(tag, ()):
            self._open.pop()
        if tag in _PARENTS and (not self._open or self._open[-1] not in _PARENTS[tag]):
            self.problems.append(f"<{tag}> in {self._open[-1:]}")
        self.elements.append((tag, dict(attrs)))
        self._break(tag)
        if tag in {"td", "th"}:
            self._text.append(" ")
        if tag == "img":
            self._text.append(f"[{dict(attrs).get('alt')}]")
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1] != tag and self._open[-1] in _MAY_STAY_OPEN:
            self._open.pop()
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in _HIDDEN:
            self._text.append(data)

    def _break(self, tag: str) -> None:
        if tag in _BREAKS:
            self._text.append("\n")


class _Sanitised(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self._kept: list[str] = []
        self._hidden = 0
        self.feed(source)
        self.close()
        self.result = "".join(self._kept)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _KEPT_TAGS:
            kept = _KEPT_EVERYWHERE | _KEPT.get(tag, set())
            written = "".join(f' {name}="{value or ""}"' for name, value in attrs if name in kept)
            self._kept.append(f"<{tag}{written}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden -= 1
        elif tag in _KEPT_TAGS:
            self._kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._kept.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")
