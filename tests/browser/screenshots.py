"""Pictures of the site for the docs: `make screenshots`, or `python -m tests.browser.screenshots FOLDER`.

The demo is seeded in a scratch database and served; each audience logs in by the pages. Look at what comes out.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.harness import Person, Visit, launch, log_in, visiting
from tests.browser.png import with_palette
from tests.browser.trial import Trial, trial_site

WIDTH_PX = 1280
LARGEST_BYTES = 200_000
LAB_DAYS = "from=2026-01-05&to=2026-01-14&starts=17%3A00&n_period=4"
FLEET_HEADER = "evse_id,csms,dsrsp,node,rated_kw,phases,phase,consented_at,consent_evidence,services"
CONSENT = "2026-11-01T09:00:00Z,contract 4711,routine"
FLEET = "\n".join(
    (
        FLEET_HEADER,
        f"NEW-0001,hearthside,amber-vale,NM-DEN-1,7.36,1,,{CONSENT}",
        f"NEW-0002,hearthside,amber-vale,NM-DEN-1,seven,1,,{CONSENT}",
        f"NEW-0003,hearthside,amber-vale,NM-DEN-2,22.08,3,,{CONSENT}",
        f"NEW-0004,hearthside,amber-vale,NM-DEN-2,7.36,2,,{CONSENT}",
    )
)


def _nothing(_visit: Visit) -> None:
    """The page as it opens."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: ``reach`` leads from the page at ``path`` to what is to be seen."""

    name: str
    person: str
    path: str
    height_px: int
    theme: str = "light"
    reach: Callable[[Visit], None] = _nothing


def _worst_feeder(visit: Visit) -> None:
    visit.page.locator("section[aria-labelledby=worst] tbody th a").first.click()
    visit.page.locator(".plotted canvas").wait_for()


def _preview(visit: Visit) -> None:
    chosen = {"name": "new-evses.csv", "mimeType": "text/csv", "buffer": FLEET.encode()}
    visit.page.locator("input[type=file]").set_input_files(chosen)
    visit.page.get_by_role("button", name="Look at the file").click()
    visit.page.locator("ol.steps").wait_for()


def _first_run(visit: Visit) -> None:
    visit.page.locator("table tbody a").first.click()
    visit.page.locator(".plotted canvas").wait_for()


def _first_setpoint_explained(visit: Visit) -> None:
    _first_run(visit)
    visit.page.locator("a[aria-label^=Why]").first.click()
    visit.page.locator("h1 code").wait_for()


def _shortest_explained(visit: Visit) -> None:
    """Of the EVSEs listed for the first run, the one that goes without most."""
    _first_run(visit)
    rows = visit.page.locator("tr", has=visit.page.locator("a[aria-label^=Why]")).all()
    short = max(rows, key=lambda row: float(row.locator("td.num").last.inner_text().replace(",", "")))
    short.locator("a[aria-label^=Why]").click()
    visit.page.locator("h1 code").wait_for()


def _open_offers(visit: Visit) -> None:
    visit.follow(visit.page.get_by_role("link", name="EV-DEN-1003"))


def _first_statement(visit: Visit) -> None:
    visit.follow(visit.page.locator("table tbody th a").first)


def _first_ledger(visit: Visit) -> None:
    _first_statement(visit)
    visit.follow(visit.page.get_by_role("link", name="Settlement of").first)
    visit.follow(visit.page.get_by_role("link", name="Ledger").first)


def _call_looked_at(visit: Visit) -> None:
    visit.page.get_by_label("Power (kW)", exact=True).fill("12")
    visit.page.get_by_label("Target (kW)").fill("30")
    visit.page.get_by_label("Reason").fill("transformer works")
    visit.follow(visit.page.get_by_role("button", name="Check"))


SHOTS = (
    Shot("overview", "northmoor.control", "/", 1400),
    Shot("network", "northmoor.control", "/network/", 970),
    Shot("feeder", "northmoor.control", "/network/", 1180, reach=_worst_feeder),
    Shot("feeder-dark", "northmoor.control", "/network/", 1180, theme="dark", reach=_worst_feeder),
    Shot("fleet-preview", "amber.operator", "/fleet/register/", 1000, reach=_preview),
    Shot("run", "northmoor.control", "/runs/", 1260, reach=_first_run),
    Shot("explain", "amber.operator", "/runs/", 1500, reach=_shortest_explained),
    Shot("explain-network", "northmoor.control", "/runs/", 1300, reach=_first_setpoint_explained),
    Shot("statements", "moorside.market", "/statements/", 700),
    Shot("offers", "northmoor.control", "/markets/northmoor-evenings/", 1140, reach=_open_offers),
    Shot("market-new", "northmoor.supervisor", "/markets/new/", 1340),
    Shot("call", "northmoor.control", "/markets/northmoor-evenings/call/", 700, reach=_call_looked_at),
    Shot("ledger", "northmoor.control", "/statements/", 880, reach=_first_ledger),
    Shot("invoices", "moorside.market", "/invoices/issue/?product=scheduled-utilisation&month=2026-01", 720),
    Shot("baselines", "amber.operator", f"/baselines/?{LAB_DAYS}", 1050),
    Shot("statement", "amber.operator", "/statements/", 1420, reach=_first_statement),
)


def take(browser: Browser, site: Trial, folder: Path) -> None:
    """Write every picture.

    Raises:
        RuntimeError: a page has a problem, or a picture is too large for a repository.
    """
    people = {name: Person(name, site.passwords[name], secret=site.secrets[name]) for name in {s.person for s in SHOTS}}
    for shot in SHOTS:
        person = people[shot.person]
        if person.state is None:
            with visiting(browser, site.origin) as visit:
                log_in(visit, person)
        size = {"width": WIDTH_PX, "height": shot.height_px}
        with visiting(
            browser, site.origin, viewport=size, color_scheme=shot.theme, storage_state=person.state
        ) as visit:
            shot.reach(visit.opened(shot.path))
            content = with_palette(visit.page.screenshot(animations="disabled"))
            if visit.problems or len(content) > LARGEST_BYTES:
                raise RuntimeError(f"{shot.name}: {len(content)} bytes, problems {visit.problems}")
            (folder / f"{shot.name}.png").write_bytes(content)
            sys.stdout.write(f"{folder / shot.name}.png, {len(content) // 1000} kB\n")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as var,
        trial_site(Path(var), with_more=False) as site,
        sync_playwright() as playwright,
    ):
        take(launch(playwright), site, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
