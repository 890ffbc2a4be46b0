#!/usr/bin/env python3
"""Checks the pages of target/site without a browser: every link within the site leads to a page, and to a heading or
another named element of it; every page of docs and every README of deploy is in the table of contents."""

import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "target" / "site"


class Page(HTMLParser):
    """The ids of a page, and what it links to."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        # The address of the published site, in the page for addresses that do not exist.
        if tag == "base":
            return
        for name, value in attributes:
            if name in ("id", "name") and tag != "meta":
                self.ids.append(value)
            elif name in ("href", "src") and value:
                self.links.append(value)
            elif name == "srcset" and value:
                self.links += [source.split()[0] for source in value.split(",")]


def main() -> None:
    pages = {str(path.relative_to(SITE)): Page(path.read_text()) for path in SITE.rglob("*.html")}
    problems, count = [], 0
    for name, page in pages.items():
        # The page for addresses that do not exist has links from the site's root.
        base = "" if name == "404.html" else posixpath.dirname(name)
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            count += 1
            path = unquote(url.path)
            target = posixpath.normpath(posixpath.join(base, path.lstrip("/") if name == "404.html" else path)) if path else name
            if (SITE / target).is_dir():
                target = posixpath.normpath(posixpath.join(target, "index.html"))
            if not (SITE / target).is_file():
                problems.append(f"{name}: {link} leads to nothing")
            elif url.fragment and target in pages and unquote(url.fragment) not in pages[target].ids:
                problems.append(f"{name}: {link} has no such heading")
        problems += [f"{name}: {double} names two elements" for double in sorted({i for i in page.ids if page.ids.count(i) > 1})]
    summary = (ROOT / "docs" / "SUMMARY.md").read_text()
    for file in sorted([*(ROOT / "docs").glob("**/*.md"), *(ROOT / "deploy").glob("**/README.md")]):
        path = posixpath.relpath(str(file), str(ROOT / "docs"))
        if path != "SUMMARY.md" and f"({path})" not in summary:
            problems.append(f"docs/SUMMARY.md does not list {path}")
    # A link that the preprocessor or mdBook did not see.
    leftovers = re.compile(r"\{\{#|\]\([^)]*\.md")
    for name in pages:
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", (SITE / name).read_text(), flags=re.DOTALL)
        problems += [f"{name}: {found.group()} is left over" for found in leftovers.finditer(text)]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(pages)} pages, {count} links")


if __name__ == "__main__":
    main()
