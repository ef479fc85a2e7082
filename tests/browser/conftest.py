"""One browser and one site for all walks; each test has windows of its own, which must have nothing to complain of."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.harness import CHROMIUM, Person, Visit, launch, log_in, visiting
from tests.browser.trial import Trial, trial_site

LONGEST = "test_jobs_of_audiences"
IN_CI = os.environ.get("CI") == "true"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers do them, each with a browser and a site of its own: the longest file, and the others together."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)
            group = "jobs" if item.path.stem == LONGEST else "pages"
            item.add_marker(pytest.mark.xdist_group(f"browser {group}"))
            item.add_marker(pytest.mark.timeout(600))  # the first one waits for the site to be seeded


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; its absence is a failure in CI and a stated skip elsewhere."""
    if not Path(CHROMIUM).exists():
        reason = f"no browser at {CHROMIUM}: install Debian's package chromium"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def trial(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """The demo, seeded, planned, settled and served."""
    with trial_site(tmp_path_factory.mktemp("trial")) as site:
        yield site


@pytest.fixture(scope="package")
def people(trial: Trial) -> dict[str, Person]:
    return {
        name: Person(name, password, secret=trial.secrets.get(name, "")) for name, password in trial.passwords.items()
    }


@pytest.fixture
def open_window(chromium: Browser, trial: Trial) -> Iterator[Callable[..., Visit]]:
    """Opens windows with Playwright's context options; at the end none may have a problem."""
    opened: list[Visit] = []
    with ExitStack() as windows:

        def open_one(**options: Any) -> Visit:
            opened.append(windows.enter_context(visiting(chromium, trial.origin, **options)))
            return opened[-1]

        yield open_one
        assert [problem for visit in opened for problem in visit.problems] == []


@pytest.fixture
def browser_page(open_window: Callable[..., Visit]) -> Visit:
    """A window nobody has logged in to."""
    return open_window()


@pytest.fixture
def window_of(open_window: Callable[..., Visit], people: dict[str, Person]) -> Callable[..., Visit]:
    """Opens a window in which a person is logged in: by the pages, and for windows soon after by the same session."""

    def open_logged_in(name: str, **options: Any) -> Visit:
        person = people[name]
        if not person.is_fresh:
            log_in(open_window(), person)
        return open_window(storage_state=person.state, **options)

    return open_logged_in
