#!/usr/bin/env python3
"""Prints a version's section of the changelog, without its heading.

.ci/release/notes.py X.Y.Z [--dry-run]     with --dry-run, the section [Unreleased] may be in its place
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def section(changelog: str, name: str) -> str | None:
    """The lines between the heading of a section and the next one.

    >>> text = "# Changelog\\n\\n## [1.1.0] - 2026-01-01\\n\\n### Added\\n\\n- B.\\n\\n## [1.0.0] - 2025-01-01\\n\\n- A.\\n"
    >>> section(text, "1.1.0"), section(text, "1.0.0"), section(text, "1x1.0")
    ('### Added\\n\\n- B.', '- A.', None)
    """
    found = re.search(rf"^## \[{re.escape(name)}\].*\n((?:(?!## \[).*\n?)*)", changelog, re.MULTILINE)
    return found and found.group(1).strip()


def main() -> None:
    version, *options = sys.argv[1:]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    notes = section(changelog, version) or (section(changelog, "Unreleased") if options == ["--dry-run"] else None)
    if not notes:
        sys.exit(f"CHANGELOG.md has no section [{version}], or it is empty")
    print(notes)


if __name__ == "__main__":
    main()
