"""Who asks, for whom, and what they may do: worked out once a request, before any view runs."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest

from aggregator.core.permissions import Action, Role, role_actions, scope_actions
from aggregator.models import MachineClient, Membership, Organisation
from aggregator.queries import memberships_of

ACTS_FOR = "acts_for"  # session key: code of the organisation a person with several chose
CONFIRMED_AT = "confirmed_at"  # session key: when the person last proved again who they are


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person in one role, or an organisation's machine within its scopes.

    Attributes:
        actor: name in the event log, ``person:<username>`` or ``machine:<client_id>``.
        role: None for a machine.
        user_pk: None for a machine.
        confirmed_at: when a person last proved who they are; for a machine, when its token was issued.
        others: further organisations the person may act for.
    """

    actor: str
    organisation: Organisation
    role: Role | None
    actions: frozenset[Action]
    user_pk: int | None
    confirmed_at: datetime | None
    others: tuple[Membership, ...] = ()

    def may(self, action: Action) -> bool:
        return action in self.actions

    @property
    def is_machine(self) -> bool:
        return self.user_pk is None


def person_viewer(
    user: AbstractBaseUser | AnonymousUser, *, acts_for: str, confirmed_at: datetime | None
) -> Viewer | None:
    """The person as a member of the organisation they chose, else of their first; None without a membership."""
    memberships = list(memberships_of(user))
    chosen = next((one for one in memberships if one.organisation.code == acts_for), None)
    membership = chosen or (memberships[0] if memberships else None)
    if membership is None:
        return None
    role = Role(membership.role)
    return Viewer(
        actor=f"person:{user.get_username()}",
        organisation=membership.organisation,
        role=role,
        actions=role_actions(role, membership.organisation.kind),
        user_pk=user.pk,
        confirmed_at=confirmed_at,
        others=tuple(one for one in memberships if one is not membership),
    )


def machine_viewer(machine: MachineClient, *, client_id: str, scopes: frozenset[str], issued_at: datetime) -> Viewer:
    """An API client: what its token's scopes allow, and no more than its own."""
    allowed = scopes & frozenset(machine.scopes)
    return Viewer(
        actor=f"machine:{client_id}",
        organisation=machine.organisation,
        role=None,
        actions=scope_actions(allowed, machine.organisation.kind),
        user_pk=None,
        confirmed_at=issued_at,
    )


def viewer_of(request: HttpRequest) -> Viewer:
    """The viewer the walls found. Views behind them may rely on it.

    Raises:
        AttributeError: asked before the walls, or in a public view: a bug.
    """
    viewer = getattr(request, "viewer", None)
    if not isinstance(viewer, Viewer):
        raise AttributeError("this request has no viewer: the view is public, or stands outside flex.walls.Walls")
    return viewer
