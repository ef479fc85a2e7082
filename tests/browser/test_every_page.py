"""Every page that an audience can click its way to: read by axe in both themes, on a phone, enlarged, by keyboard."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.browser.harness import Visit

# Of each kind of organisation the role that may open most.
AUDIENCES = ("amber.admin", "northmoor.supervisor", "moorside.market", "platform.admin")
NAMED = re.compile(r"[0-9A-Z]")  # a segment of an address that names one thing of many
MOST_PAGES = 80
MOST_CLICKS = 4  # one on the menu and three from there
FOR_ALL = {"/markets/", "/markets/northmoor-evenings/", "/orders/", "/orders/*/", "/flex-requests/*/"} | {
    "/products/",
    "/products/*/",
    "/primacy/",
    "/invoices/",
    "/invoices/*/",
    "/statements/",
    "/statements/*/",
    "/settlements/*/",
    "/settlements/*/ledger/",
}
MARKET_PAGES = {
    "amber.admin": FOR_ALL | {"/flex-requests/*/offer/", "/baselines/", "/volumes/"},
    "northmoor.supervisor": FOR_ALL
    | {"/markets/northmoor-evenings/request/", "/flex-offers/*/accept/", "/products/*/change/", "/baselines/"}
    | {"/markets/new/", "/markets/northmoor-evenings/contract/", "/markets/northmoor-evenings/call/", "/products/new/"}
    | {"/orders/*/dispatch/"},
    "moorside.market": FOR_ALL - {"/orders/*/", "/flex-requests/*/"} | {"/settlements/*/release/", "/invoices/issue/"},
    "platform.admin": FOR_ALL | {"/volumes/"},
}
LINKS = """
() => [...document.querySelectorAll("main a[href], nav a[href], header a[href]")]
  .filter((link) => link.origin === location.origin && !link.hasAttribute("download"))
  .map((link) => link.pathname + link.search)
"""


def shape(address: str) -> str:
    """An address with what it names left out, so that of many alike one is visited."""
    parts = urlsplit(address)
    segments = ["*" if NAMED.search(segment) else segment for segment in parts.path.split("/")]
    return "/".join(segments) + ("?" if parts.query else "")


def pages_of(visit: Visit) -> Iterator[tuple[str, int]]:
    """One page of each shape, opened in turn from the overview on, and by how many clicks it is reached."""
    seen, waiting = {shape("/")}, [("/", 0)]
    while waiting and len(seen) <= MOST_PAGES:
        address, n_click = waiting.pop(0)
        visit.opened(address)
        links = visit.page.evaluate(LINKS)
        yield address, n_click
        for link in links:
            if (
                not re.search(r"\.(csv|json|zip|xlsx|parquet|pdf|txt)$", urlsplit(link).path)
                and shape(link) not in seen
            ):
                seen.add(shape(link))
                waiting.append((link, n_click + 1))


def in_both_themes(visit: Visit) -> Iterator[str]:
    for theme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=theme)
        for line in visit.violations():
            yield f"{theme}: {line}"


def overhangs(visit: Visit) -> Iterator[str]:
    for width in (320, 640):
        visit.page.set_viewport_size({"width": width, "height": 640})
        if visit.overhang_px() > 0:
            yield f"{visit.overhang_px()} px wider than {width}"
    visit.page.set_viewport_size({"width": 1280, "height": 800})


def left_out_by_tab(visit: Visit) -> Iterator[str]:
    names = visit.controls()
    reached = visit.reached_by_tab(len(names))
    yield from (f"Tab does not reach {names[at]!r}" for at in range(len(names)) if at not in reached)
    if reached != sorted(reached):
        yield "Tab leaves the page's order"


def lost_without_javascript(visit: Visit, plain: Visit) -> Iterator[str]:
    """What is missing on a page opened in ``visit`` where there is no JavaScript."""
    plain.opened(urlsplit(visit.page.url)._replace(scheme="", netloc="").geturl())
    headings, plain_headings = (one.page.locator("h1, h2").all_inner_texts() for one in (visit, plain))
    if headings != plain_headings:
        yield f"without JavaScript its headings are {plain_headings}, with it {headings}"


@pytest.mark.parametrize("name", AUDIENCES)
@pytest.mark.long
class TestEveryPage:
    def test_can_be_read_and_used_by_everybody(self, window_of, name):
        visit, plain = window_of(name), window_of(name, java_script_enabled=False)
        found, far = {}, []
        for address, n_click in pages_of(visit):
            far += [address] if n_click > MOST_CLICKS else []
            found[address] = [
                *left_out_by_tab(visit),
                *in_both_themes(visit),
                *overhangs(visit),
                *lost_without_javascript(visit, plain),
            ]

        assert MARKET_PAGES[name] - {shape(address) for address in found} == set()
        assert far == []
        assert {address: wrong for address, wrong in found.items() if wrong} == {}
