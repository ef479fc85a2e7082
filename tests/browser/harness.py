"""Chromium as an operator's browser: nothing from elsewhere, no error left unsaid, people logged in by the pages."""

import math
import time
from base64 import b32decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from django_otp.oath import totp
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, Response, Route

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
STEP_S = 30
FRESH_S = 180  # of the 300 that a proof is taken for, so that a test of two minutes is not asked again
DESK = {"width": 1280, "height": 800}
# A zone that is not the grid's: what the page shows must not depend on whose clock the browser has.
ELSEWHERE = "America/New_York"

# Of radio buttons Tab reaches the one that is chosen; arrow keys lead to the others.
CONTROLS = """
() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((element) => element.type !== "hidden" && !element.disabled && element.checkVisibility())
  .filter((element) => element.type !== "radio" || element.checked ||
    ![...document.getElementsByName(element.name)].some((other) => other.checked))
  .map((element, at) => {
    element.dataset.control = at;
    return (element.textContent || element.name || element.className).trim().slice(0, 40);
  })
"""
# Tab goes on from where the focus was last: that is to be the page's top, also where a field takes it at once.
TO_TOP = """
() => {
  const top = document.createElement("span");
  top.tabIndex = -1;
  document.body.prepend(top);
  top.focus();
  top.remove();
}
"""
FOCUSED = "() => document.activeElement?.dataset.control ?? null"


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))


@dataclass(slots=True)
class Visit:
    """One person's window on the site, and everything in it that must not be: ``problems``."""

    origin: str
    context: BrowserContext
    page: Page
    problems: list[str] = field(default_factory=list)

    def goto(self, path: str) -> Response:
        """Open a page of the site; its answer."""
        response = self.page.goto(f"{self.origin}{path}")
        assert response is not None
        return response

    def opened(self, path: str) -> "Visit":
        """Open a page that must answer with 200."""
        status = self.goto(path).status
        assert status == 200, f"{path} answered {status}"
        return self

    def follow(self, link: Locator) -> None:
        """Click what leads to another page, and wait until that is whole."""
        with self.page.expect_navigation(wait_until="load"):
            link.click()

    def violations(self) -> list[str]:
        """What axe finds against WCAG 2.0 to 2.2, A and AA: one line each, with where it is.

        It looks at the page once it is whole. After a click that leads elsewhere, ``follow`` is the way to get there.
        """
        self.page.wait_for_load_state("load")
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": list(WCAG)}}).response
        return [
            f"{one['id']}: {one['help']}: " + "; ".join(node["html"][:160] for node in one["nodes"][:3])
            for one in found["violations"]
        ]

    def overhang_px(self) -> int:
        """By how much the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def controls(self) -> list[str]:
        """Every control that is to be seen, in the page's order, and marked for ``reached_by_tab``."""
        found: list[str] = self.page.evaluate(CONTROLS)
        return found

    def reached_by_tab(self, n_control: int) -> list[int]:
        """Numbers of the controls that Tab reaches from the top, in that order."""
        self.page.evaluate(TO_TOP)
        reached: list[int] = []
        for _ in range(6 * n_control + 10):  # a field for a date has stops of its own
            self.page.keyboard.press("Tab")
            at = self.page.evaluate(FOCUSED)
            if at is None and reached:
                break  # past the last one
            if at is not None and int(at) not in reached:
                reached.append(int(at))
        return reached

    def close(self) -> None:
        self.context.close()


@contextmanager
def visiting(browser: Browser, origin: str, **options: Any) -> Iterator[Visit]:
    """Open a window that reaches this site only; ``options`` are of Playwright's ``new_context``."""
    context = browser.new_context(**{"viewport": DESK, "locale": "en-GB", "timezone_id": ELSEWHERE, **options})
    context.set_default_timeout(20_000)
    page = context.new_page()
    visit = Visit(origin, context, page)
    _watch(visit)
    try:
        yield visit
    finally:
        context.close()


def _watch(visit: Visit) -> None:
    def only_ours(route: Route) -> None:
        address = route.request.url
        if _origin(address) == visit.origin:
            route.continue_()
        else:
            visit.problems.append(f"asked for {address}")
            route.abort()

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.problems.append(f"console {message.type}: {message.text}")

    visit.context.route("**/*", only_ours)
    visit.context.on("console", on_console)
    visit.context.on("weberror", lambda error: visit.problems.append(f"script: {error.error}"))


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(slots=True)
class Person:
    """Somebody with a password and, once they logged in, an authenticator.

    Attributes:
        secret: of the authenticator, base 32; empty before the first log-in.
        used_step: the last half-minute whose code was used; each is taken once.
        state: cookies of a session that is logged in, for further windows.
        proved_at: when they logged in; control acts ask for a fresh proof after ``settings.CONFIRMED_FOR_S``.
    """

    name: str
    password: str
    secret: str = ""
    used_step: int = 0
    state: Any = None
    proved_at: float = -math.inf

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.proved_at < FRESH_S

    def code(self) -> str:
        """A code that was not used yet; waits for the next half-minute where there is none."""
        step = max(int(time.time()) // STEP_S, self.used_step + 1)
        while step > int(time.time()) // STEP_S + 1:
            time.sleep(1)
        self.used_step = step
        return f"{totp(b32decode(self.secret), step=STEP_S, drift=step - int(time.time()) // STEP_S):06d}"


def log_in(visit: Visit, person: Person) -> None:
    """Log in through the pages: name, password, then a code; the first time an authenticator is set up."""
    page = visit.page
    if "/login/" not in page.url:
        visit.goto("/login/")
    page.get_by_label("User name").fill(person.name)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Log in").click()
    page.locator("#id_code").wait_for()
    if page.get_by_role("heading", name="Set up an authenticator").count():
        person.secret = "".join(page.locator(".secret code").all_text_contents())
        page.locator("#id_code").fill(person.code())
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("link", name="I have kept them").click()
    else:
        page.locator("#id_code").fill(person.code())
        page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()
    person.state = visit.context.storage_state()
    person.proved_at = time.monotonic()
