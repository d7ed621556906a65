"""Reads a comparison's page as a browser would."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from charkit_comparison import ComparisonReport
from charkit_comparison.page.html_page import render_html
from charkit_comparison.page.view import ReportView


class ParsedPage(HTMLParser):
    """The elements of a page with their attributes, and texts by element."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "link", "br", "img"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "every element is closed in its place"
        if tag in {"dt", "dd", "h1", "h2", "h3", "h4", "p", "li", "th", "td", "small", "figcaption"}:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(self.texts["body"][0].split())


def page_of(report: ComparisonReport) -> ParsedPage:
    """The parsed page of a report."""
    return ParsedPage(render_html(ReportView(report)))


def chart_of(
    report: ComparisonReport, title: str
) -> list[tuple[dict[str, str], list[list[float]], list[str]]]:
    """The wide and the narrow picture of this title: attributes, heights of the band's edge, and texts."""
    pictures = []
    for svg in re.findall(r"<svg[^>]*><title>.*?</svg>", render_html(ReportView(report)), re.S):
        picture = ParsedPage(f"<body>{svg}</body>")
        if picture.texts["title"] != [title]:
            continue
        edges = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--quiet\); stroke-width: 1.2', svg)
        heights = [[float(y) for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", edge)] for edge in edges]
        pictures.append((picture.all("svg")[0], heights, picture.texts.get("text", [])))
    return pictures
