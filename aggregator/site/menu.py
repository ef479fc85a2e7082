"""The site's menu as data: what is called how, where it leads, and which action it needs."""

from dataclasses import dataclass

from aggregator.core.permissions import Action


@dataclass(frozen=True, slots=True)
class MenuItem:
    """``url_name`` names the address; a page below that address belongs to the item too."""

    label: str
    url_name: str
    action: Action


MENU = (
    MenuItem("Overview", "markets:overview", Action.SEE_OVERVIEW),
    MenuItem("Network", "dispatch:network", Action.SEE_NETWORK),
    MenuItem("Fleet", "aggregator:fleet", Action.SEE_FLEET),
    MenuItem("Markets", "markets:markets", Action.SEE_MARKETS),
    MenuItem("Orders", "markets:flex_orders", Action.SEE_MARKETS),
    MenuItem("Nominations", "markets:nominations", Action.SEE_MARKETS),
    MenuItem("Control groups", "markets:control_groups", Action.SEE_MARKETS),
    MenuItem("Requests", "markets:requests", Action.SEE_REQUESTS),
    MenuItem("Runs", "dispatch:runs", Action.SEE_RUNS),
    MenuItem("Control acts", "aggregator:control_acts", Action.SEE_CONTROL_ACTS),
    MenuItem("Products", "markets:products", Action.SEE_STATEMENTS),
    MenuItem("Statements", "markets:statements", Action.SEE_STATEMENTS),
    MenuItem("Invoices", "markets:invoices", Action.SEE_STATEMENTS),
    MenuItem("Baselines", "markets:baseline_lab", Action.SEE_READINGS),
    MenuItem("Volumes", "markets:volumes", Action.SEE_VOLUMES),
    MenuItem("Findings", "aggregator:findings", Action.SEE_FINDINGS),
    MenuItem("Jobs", "aggregator:jobs", Action.SEE_JOBS),
    MenuItem("Log", "aggregator:log", Action.SEE_LOG),
    MenuItem("People", "people", Action.MANAGE_PEOPLE),
    MenuItem("API clients", "machines", Action.MANAGE_MACHINES),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """``current`` is the value of aria-current: ``page``, ``true`` (a page below), or empty."""

    label: str
    url: str
    current: str


def menu_for(actions: frozenset[Action], items: tuple[MenuItem, ...] = MENU) -> tuple[MenuItem, ...]:
    """What a viewer may open, in the menu's order."""
    return tuple(item for item in items if item.action in actions)


def entry(item: MenuItem, *, url: str, path: str) -> Entry:
    """Mark an item against the path being shown; the root address has no pages below it."""
    if path == url:
        return Entry(item.label, url, "page")
    is_below = url != "/" and path.startswith(url)
    return Entry(item.label, url, "true" if is_below else "")
