"""What the frame round every page shows: who, for whom, where they may go, when it was shown, what waits for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from aggregator.core.display import Stamp, stamp
from aggregator.models import Membership
from aggregator.queries import n_acts_to_decide
from aggregator.services.control_acts import APPROVES
from aggregator.site.menu import Entry, entry, menu_for
from aggregator.viewer import Viewer

THEME_COOKIE = "theme"
THEMES = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Frame:
    """Plain values for ``templates/base.html``.

    Attributes:
        shown_utc: the same minute as ``shown_at``, as ``14:30Z``.
        others: code and name of the other organisations the person may act for.
        n_to_approve: control acts that wait for this person's decision.
    """

    shown_at: Stamp
    shown_utc: str
    entries: tuple[Entry, ...]
    person: str
    organisation: str
    role: str
    others: tuple[tuple[str, str], ...]
    n_to_approve: int


def frame(request: HttpRequest) -> dict[str, object]:
    """Context processor: ``frame`` for a viewer, None for anybody else; ``theme`` as chosen, empty for the system's."""
    viewer = getattr(request, "viewer", None)
    shown = _frame(viewer, path=request.path, now=timezone.now()) if isinstance(viewer, Viewer) else None
    return {"frame": shown, "theme": theme_of(request)}


def theme_of(request: HttpRequest) -> str:
    """The theme a person chose in this browser; empty where they did not."""
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def _frame(viewer: Viewer, *, path: str, now: datetime) -> Frame:
    return Frame(
        shown_at=stamp(now),
        shown_utc=f"{now.astimezone(UTC):%H:%M}Z",
        entries=tuple(_entries(viewer, path)),
        person=viewer.actor.partition(":")[2],
        organisation=viewer.organisation.name,
        role=Membership.Role(viewer.role).label if viewer.role else "",
        others=tuple((one.organisation.code, one.organisation.name) for one in viewer.others),
        n_to_approve=_n_to_approve(viewer, now),
    )


def _entries(viewer: Viewer, path: str) -> Iterator[Entry]:
    for item in menu_for(viewer.actions):
        yield entry(item, url=reverse(item.url_name), path=path)


def _n_to_approve(viewer: Viewer, now: datetime) -> int:
    kinds = [kind for kind, action in APPROVES.items() if viewer.may(action)]
    if not kinds:
        return 0
    return n_acts_to_decide(viewer.organisation, kinds=kinds, user_pk=viewer.user_pk, now=now)
