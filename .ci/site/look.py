#!/usr/bin/env python3
"""Looks at every page of target/site in Chromium, on a desktop and on a phone, light and dark.

A page must not be wider than its window, axe-core must find no violation, nothing may fail to load, and no script may
fail. The search must find a word. A picture of each page goes to target/site-pictures.

    .ci/site/look.py CHROMIUM             every page
    .ci/site/look.py CHROMIUM SIZING.html  these pages
"""

import functools
import http.server
import re
import shutil
import sys
import threading
from collections import Counter
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "target" / "site"
PICTURES = ROOT / "target" / "site-pictures"
WINDOWS = {"desktop": (1280, 900), "phone": (390, 844)}
THEMES = {"light": "light", "dark": "navy"}
# Words that a reader looks for, and a page that has to be among the first five results.
SEARCHES = {"revoke": "OPERATIONS.html", "trust policy": "IAM.html", "boto3": "CLIENTS.html"}

# Chapters other than the page itself are not part of it; `print.html` is made for printers.
LEFT_OUT = {"toc.html", "print.html"}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site at the root, and where `site-url` says that it will be."""

    published = re.search(r'<base href="([^"]+)"', (SITE / "404.html").read_text())

    def translate_path(self, path):
        if self.published and path.startswith(self.published[1]):
            path = "/" + path.removeprefix(self.published[1])
        return super().translate_path(path)

    def log_message(self, *_):
        pass


def served() -> str:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def opened(browser: Browser, window: str, theme: str, problems: list[str]) -> Page:
    """A page that remembers the theme, as a reader's browser does, and notes what fails in it."""
    width, height = WINDOWS[window]
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.add_init_script(f"localStorage.setItem('mdbook-theme', '{THEMES[theme]}')")
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    # Leaving a page aborts what it still loads.
    failed = lambda request: request.failure != "net::ERR_ABORTED" and problems.append(f"{page.url}: {request.url} failed")
    page.on("requestfailed", failed)
    page.on("response", lambda got: got.status >= 400 and problems.append(f"{page.url}: {got.url} is {got.status}"))
    return page


def violations(page: Page, axe: Axe) -> list[str]:
    found = []
    for violation in axe.run(page).response["violations"]:
        first, count = violation["nodes"][0], len(violation["nodes"])
        found.append(f"axe {violation['id']} ({count}): {first['html'][:160]}\n    {first['failureSummary']}")
    return found


def look(page: Page, base: str, name: str, window: str, theme: str, axe: Axe) -> list[str]:
    page.goto(base + name, wait_until="load")
    wide = page.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth")
    found = [f"{wide} pixels wider than its window"] if wide > 0 else []
    # The colours of a phone are those of a desktop.
    if (window, theme) != ("phone", "dark"):
        found += violations(page, axe)
    picture = PICTURES / f"{name.removesuffix('.html').replace('/', '-')}-{window}-{theme}.png"
    page.screenshot(path=picture, full_page=False)
    return [f"{name}, {window}, {theme}: {text}" for text in found]


def search(page: Page, base: str, axe: Axe) -> list[str]:
    """Types each word as a reader does, and reads the first results."""
    found = []
    for words, wanted in SEARCHES.items():
        page.goto(base, wait_until="load")
        page.keyboard.press("/")
        page.locator("#mdbook-searchbar").press_sequentially(words)
        results = page.locator("#mdbook-searchresults a")
        results.first.wait_for()
        first = results.evaluate_all("links => links.slice(0, 5).map(link => link.getAttribute('href'))")
        if not any(wanted in link for link in first):
            found.append(f"the search for {words!r} gives {first}, not {wanted}")
    return found + [f"the results of a search: {text}" for text in violations(page, axe)]


def main() -> None:
    chromium, *chosen = sys.argv[1:]
    every = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
    pages = chosen or [name for name in every if name not in LEFT_OUT]
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    base, axe, problems = served(), Axe(), []
    with sync_playwright() as playwright:
        # A container that runs as root has no sandbox, and little shared memory; the pages are ours.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for window in WINDOWS:
            for theme in THEMES:
                page = opened(browser, window, theme, problems)
                for name in pages:
                    problems += look(page, base, name, window, theme, axe)
                if not chosen:
                    problems += search(page, base, axe)
                page.context.close()
        browser.close()
    for problem in problems:
        print(problem)
    if problems:
        kinds = Counter(problem.split("axe ")[1].split(" ")[0] for problem in problems if "axe " in problem)
        sys.exit(f"{len(problems)} problems; by axe-core: {dict(kinds)}")
    print(f"{len(pages)} pages looked at in {len(WINDOWS) * len(THEMES)} ways")


if __name__ == "__main__":
    main()
