"""The site as people meet it: who they are, and what is on the page they get."""

from html.parser import HTMLParser

from django.http import HttpResponse
from django.test import Client

from tests.factories import make_dno, make_organisation
from tests.markets.builders import Cycle, make_person
from tests.people import log_in

PERSONS = ("dno", "market_operator", "platform", "auditor", "flexco", "voltway", "idle", "other_dno", "nobody")


class Page(HTMLParser):
    """What a test asks of a page: tags with attributes, and rows of its tables as text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def text_of(response: HttpResponse) -> str:
    return response.content.decode()


def person(cycle: Cycle, name: str) -> Client:
    """Log in one of PERSONS."""
    organisations = {
        "dno": lambda: (cycle.dno, "control_room_operator"),
        "market_operator": lambda: (make_organisation("elx", "market_operator"), "market_operator"),
        "platform": lambda: (make_organisation("headroom", "platform"), "platform_admin"),
        "auditor": lambda: (make_organisation("headroom", "platform"), "auditor"),
        "flexco": lambda: (cycle.dsrsps["flexco"], "operator"),
        "voltway": lambda: (cycle.dsrsps["voltway"], "admin"),
        "idle": lambda: (make_organisation("idle"), "operator"),
        "other_dno": lambda: (make_dno("other-dno"), "control_room_supervisor"),
        "nobody": lambda: (None, ""),
    }
    return log_in(Client(), make_person(name, *organisations[name]()))
