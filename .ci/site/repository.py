#!/usr/bin/env python3
"""A preprocessor of mdBook, so that the documents work on the site as they do at the repository's host.

- A page of SUMMARY.md that lies outside docs gets a place on the site: `../deploy/iam/README.md` becomes
  `deploy/iam/`.
- A link to a page of the site, or to a picture below docs, leads there. A link to any other file or folder leads to
  the repository, by `git-repository-url` of `[output.html]` and `branch` of this preprocessor.
- The text of a link that is only the name of a page's file, for example `IAM.md`, becomes the page's title.

A link that leads to nothing is an error.
"""

import json
import os
import posixpath
import re
import sys
from pathlib import Path

# [`FILE.md`](target) with its own name as its text.
NAMED = re.compile(r"\[`?(?P<name>[A-Za-z0-9_./-]+\.md)`?\]\((?P<target>[^\s)#]+)\)")
# [text](target), [name]: target, src="target", href="target" and srcset="target".
LINK = re.compile(r"""(?P<before>\]\(<?|^\[[^\]]+\]:\s+|\b(?:src|href|srcset)=")(?P<target>[^\s)>"]+)""", re.MULTILINE)
FENCED = re.compile(r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#")


def chapters(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            yield chapter
            yield from chapters(chapter["sub_items"])


class Site:
    def __init__(self, root: Path, repository: str, branch: str):
        self.root, self.repository, self.branch = root, repository.rstrip("/"), branch
        # From a file of the repository to its page.
        self.pages: dict[str, str] = {}
        self.titles: dict[str, str] = {}
        self.problems: list[str] = []

    def add(self, chapter) -> None:
        """Gives the chapter its place on the site."""
        if chapter["path"] is None:
            return
        file = posixpath.normpath(posixpath.join("docs", chapter["path"]))
        if not file.startswith("docs/"):
            chapter["path"] = chapter["source_path"] = file
        self.pages[file] = chapter["path"]
        self.titles[file] = chapter["name"]
        chapter["file"] = file

    @staticmethod
    def file(chapter, path: str) -> str:
        """The file of the repository that a path of this page means."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(chapter["file"]), path))

    def title(self, chapter, named: re.Match) -> str:
        """The link with the title of its page, if its text is the name of the file."""
        file = self.file(chapter, named["target"])
        if file not in self.titles or posixpath.basename(named["name"]) != posixpath.basename(file):
            return named.group()
        return f"[{self.titles[file]}]({named['target']})"

    def target(self, chapter, target: str) -> str:
        """The target as the page has to name it."""
        if ELSEWHERE.match(target):
            return target
        path, mark, anchor = target.partition("#")
        file = self.file(chapter, path)
        here = posixpath.dirname(chapter["path"]) or "."
        if file in self.pages:
            page = self.pages[file]
            if posixpath.basename(page) == "README.md":
                page = posixpath.join(posixpath.dirname(page), "index.md")
            return posixpath.relpath(page, here) + mark + anchor
        if not (self.root / file).exists():
            self.problems.append(f"{chapter['file']}: {target} leads to nothing")
        kind = "tree" if (self.root / file).is_dir() else "blob"
        if kind == "blob" and file.startswith("docs/images/"):
            return posixpath.relpath(file.removeprefix("docs/"), here)
        return f"{self.repository}/{kind}/{self.branch}/{file}{mark}{anchor}"

    def rewrite(self, chapter) -> None:
        text, made, at = chapter["content"], [], 0

        def links(piece: str) -> str:
            piece = NAMED.sub(lambda named: self.title(chapter, named), piece)
            return LINK.sub(lambda link: link["before"] + self.target(chapter, link["target"]), piece)

        for code in FENCED.finditer(text):
            made += [links(text[at : code.start()]), code.group()]
            at = code.end()
        chapter["content"] = "".join([*made, links(text[at:])])


def main() -> None:
    if sys.argv[1:2] == ["supports"]:
        sys.exit(sys.argv[2] != "html")
    context, book = json.load(sys.stdin)
    config = context["config"]
    repository, branch = config["output"]["html"]["git-repository-url"], config["preprocessor"]["repository"]["branch"]
    site = Site(Path(context["root"]).resolve().parent, repository, branch)
    found = [chapter for chapter in chapters(book["items"]) if chapter["path"] is not None]
    for chapter in found:
        site.add(chapter)
    for chapter in found:
        site.rewrite(chapter)
        del chapter["file"]
    if site.problems:
        sys.exit("\n".join(site.problems))
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
