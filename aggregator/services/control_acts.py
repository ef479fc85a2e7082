"""Control acts: done at once where they are small, on a second person's word where they are not.

What is asked is checked by whoever asks (the kind's own service makes the figures and the payload); what it needs is
decided here, and here alone: splitting an act, asking at the same time or asking by machine dodges nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from aggregator.core.control import UNITS, ActFigures, Thresholds, exceeded, together
from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action, Role, role_actions
from aggregator.models import ControlAct, Membership, Organisation, actor, as_platform
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn

COUNTED_TOGETHER = timedelta(minutes=10)
SHORTEST_REASON, LONGEST_REASON = 3, 500
APPROVES = {
    "request_dispatch": Action.APPROVE_DISPATCH,
    "change_limits": Action.APPROVE_LIMITS,
    "release_statements": Action.APPROVE_RELEASE,
}

Outcome = Mapping[str, object]


class ControlActRefused(FlexError):
    code = "control.refused"


class UnknownControlAct(FlexError):
    code = "control.unknown_act"


class ControlActDecided(FlexError):
    code = "control.decided"


class ControlActExpired(FlexError):
    code = "control.expired"


class NeedsAPerson(FlexError):
    code = "control.needs_a_person"


class NeedsAnotherPerson(FlexError):
    code = "control.needs_another_person"


class MayNotDecide(FlexError):
    code = "control.may_not_decide"


class ControlActGrown(FlexError):
    code = "control.grown"


def thresholds() -> Thresholds:
    """The most one person may move on their own word, as the settings say."""
    return Thresholds(
        total_mw=settings.DUAL_APPROVAL_MW,
        mw_per_minute=settings.DUAL_APPROVAL_MW_PER_MINUTE,
        n_evse=settings.DUAL_APPROVAL_EVSES,
        n_limits=settings.DUAL_APPROVAL_LIMITS,
        n_statements=settings.DUAL_APPROVAL_STATEMENTS,
    )


def would_exceed(*, kind: str, organisation: Organisation, figures: ActFigures, now: datetime) -> tuple[str, ...]:
    """Thresholds an act would exceed if it were asked for now, with what was asked or done lately."""
    return exceeded(together([figures, *_recent(organisation, kind, now)]), thresholds())


def ask_control_act(
    *,
    kind: str,
    organisation: Organisation,
    subject: str,
    payload: Mapping[str, object],
    figures: ActFigures,
    reason: str,
    asked_by_pk: int | None,
    now: datetime,
    not_after: datetime | None = None,
) -> ControlAct:
    """Do an act at once where no threshold is exceeded, else keep it until a second person agrees.

    Acts of the organisation and kind in the ten minutes before, done or waiting, count together with this one.

    Args:
        payload: plain JSON, all that the kind's service needs to do it later.
        asked_by_pk: None for a machine.
        not_after: the act makes no sense from then on, so it waits no longer.

    Returns:
        The act, DONE or PENDING.

    Raises:
        ControlActRefused: an unknown kind, a reason too short or long, or ``not_after`` is past.
        FlexError: whatever the kind's service refuses; nothing is kept then.
    """
    said = _reason(reason)
    if kind not in settings.CONTROL_ACTS:
        raise ControlActRefused(f"asked for a {kind!r}, found {', '.join(sorted(settings.CONTROL_ACTS))}", field="kind")
    expires_at = now + timedelta(seconds=settings.CONTROL_ACT_EXPIRES_S)
    expires_at = min(expires_at, not_after) if not_after else expires_at
    if expires_at <= now:
        raise ControlActRefused(
            f"{kind} of {subject}: {expires_at.isoformat()} is past at {now.isoformat()}", field="not_after"
        )
    with transaction.atomic(), as_platform():
        take_turn("control acts", organisation.pk, kind)
        act = ControlAct(
            kind=kind,
            organisation=organisation,
            subject=subject[:200],
            payload=dict(payload),
            figures=asdict(figures),
            exceeded=list(would_exceed(kind=kind, organisation=organisation, figures=figures, now=now)),
            reason=said,
            state=ControlAct.State.PENDING,
            asked_by_id=asked_by_pk,
            asked_as=actor()[:200],
            asked_at=now,
            expires_at=expires_at,
        )
        act.save()
        if not act.exceeded:
            _close(act, ControlAct.State.DONE, now=now, user_pk=None, outcome=_do(act, now, user_pk=None))
        asked = {"state": ControlAct.State.PENDING, "payload": act.payload, "figures": act.figures}
        _record(act, "asked", before=None, after={**asked, "exceeded": act.exceeded}, reason=said, now=now)
        if act.state == ControlAct.State.DONE:
            _record_close(act, said, now)
    return act


def approve_control_act(*, act_pk: int, organisation: Organisation, user_pk: int | None, now: datetime) -> ControlAct:
    """Do a waiting act on the word of a second person, who may approve its kind.

    Its figures are worked out anew: an act that has grown past a threshold the person was not told of is not done.

    Returns:
        The act, DONE, or FAILED with what stood in the way in ``outcome``.

    Raises:
        UnknownControlAct: the organisation has no such act.
        NeedsAPerson, NeedsAnotherPerson, MayNotDecide: a machine, the one who asked, or one who may not approve.
        ControlActExpired, ControlActDecided: it waits no longer.
    """
    person_pk = _person(user_pk)
    with transaction.atomic(), as_platform():
        act = _locked(act_pk, organisation)
        _refuse_decided(act)
        _refuse_same_person(act, person_pk)
        _refuse_not_allowed(act, person_pk)
        if act.expires_at <= now:
            _expire(act, now)
        else:
            _carry_out(act, person_pk, now)
    return _unless_expired(act)


def refuse_control_act(
    *, act_pk: int, organisation: Organisation, user_pk: int | None, reason: str, now: datetime
) -> ControlAct:
    """Turn a waiting act down, as somebody who might approve it, or take back one's own.

    Raises:
        ControlActRefused: a reason too short or too long.
        UnknownControlAct, NeedsAPerson, MayNotDecide, ControlActExpired, ControlActDecided: as for an approval.
    """
    said, person_pk = _reason(reason), _person(user_pk)
    with transaction.atomic(), as_platform():
        act = _locked(act_pk, organisation)
        _refuse_decided(act)
        if act.asked_by_id != person_pk:
            _refuse_not_allowed(act, person_pk)
        if act.expires_at <= now:
            _expire(act, now)
        else:
            _close(act, ControlAct.State.REFUSED, now=now, user_pk=person_pk, outcome={"reason": said})
            _record_close(act, said, now)
    return _unless_expired(act)


def expire_control_acts(*, now: datetime) -> int:
    """Close the acts nobody agreed to in time; how many there were. One being decided just now is left to that."""
    with transaction.atomic(), as_platform():
        late = ControlAct.objects.across_tenants().filter(state=ControlAct.State.PENDING, expires_at__lte=now)
        acts = list(late.select_for_update(skip_locked=True, of=("self",)).order_by("pk"))
        for act in acts:
            _expire(act, now)
    return len(acts)


# --- what may be ----------------------------------------------------------------------------------


def _reason(reason: str) -> str:
    said = reason.replace("\x00", " ").strip()
    if not SHORTEST_REASON <= len(said) <= LONGEST_REASON:
        raise ControlActRefused(
            f"the reason has {len(said)} characters, expected {SHORTEST_REASON} to {LONGEST_REASON}", field="reason"
        )
    return said


def _person(user_pk: int | None) -> int:
    if user_pk is None:
        raise NeedsAPerson("a machine asked to decide a control act: only a person may")
    return user_pk


def _locked(act_pk: int, organisation: Organisation) -> ControlAct:
    own = ControlAct.objects.across_tenants().filter(organisation=organisation)  # for_tenant's rows cannot be locked
    act = own.filter(pk=act_pk).select_for_update(of=("self",)).first()
    if act is None:
        raise UnknownControlAct(f"{organisation.code} has no control act {act_pk}", act=act_pk)
    return act


def _refuse_decided(act: ControlAct) -> None:
    if act.state == ControlAct.State.EXPIRED:
        raise ControlActExpired(f"control act {act.pk} expired at {act.expires_at.isoformat()}", act=act.pk)
    if act.state != ControlAct.State.PENDING:
        raise ControlActDecided(f"control act {act.pk} is {act.state}, expected one that waits", act=act.pk)


def _unless_expired(act: ControlAct) -> ControlAct:
    """Say so only after it is kept."""
    if act.state == ControlAct.State.EXPIRED:
        _refuse_decided(act)
    return act


def _refuse_same_person(act: ControlAct, person_pk: int) -> None:
    if act.asked_by_id == person_pk:
        raise NeedsAnotherPerson(f"control act {act.pk} needs another person than the one who asked", act=act.pk)


def _refuse_not_allowed(act: ControlAct, person_pk: int) -> None:
    """The shell asked already; a person who lost the role since, or another organisation's, gets no further."""
    memberships = Membership.objects.filter(user=person_pk, organisation=act.organisation_id, user__is_active=True)
    role = memberships.values_list("role", flat=True).first()
    allowed = role_actions(Role(role), act.organisation.kind) if role else frozenset()
    if APPROVES.get(act.kind) not in allowed:
        raise MayNotDecide(f"control act {act.pk}: the person may not decide a {act.kind}", act=act.pk)


def _recent(organisation: Organisation, kind: str, now: datetime) -> list[ActFigures]:
    """Figures of the acts that count together with a new one: asked or done lately."""
    since = now - COUNTED_TOGETHER
    # Not for_tenant: its rows are distinct, and two parts of the same size are two.
    acts = ControlAct.objects.across_tenants().filter(organisation=organisation, kind=kind)
    lately = Q(asked_at__gt=since) | Q(decided_at__gt=since)
    counted = acts.filter(lately, state__in=[ControlAct.State.DONE, ControlAct.State.PENDING])
    return [ActFigures(**figures) for figures in counted.values_list("figures", flat=True)]


# --- what is done ---------------------------------------------------------------------------------


def _do(act: ControlAct, now: datetime, *, user_pk: int | None) -> Outcome:
    """Do what was asked; who decided it is stored before, so that what is done may rest on it."""
    act.decided_at, act.decided_by_id = now, user_pk
    act.save(update_fields=["decided_at", "decided_by"])
    service: Callable[..., Outcome] = import_string(settings.CONTROL_ACTS[act.kind])
    return service(act=act, now=now)


def _carry_out(act: ControlAct, person_pk: int, now: datetime) -> None:
    try:
        with transaction.atomic():
            _refuse_grown(act, now)
            outcome = _do(act, now, user_pk=person_pk)
    except FlexError as error:
        outcome = {"code": error.code, "message": error.message, "details": error.details}
        _close(act, ControlAct.State.FAILED, now=now, user_pk=person_pk, outcome=outcome)
        _record_close(act, act.reason, now)
        return
    _close(act, ControlAct.State.DONE, now=now, user_pk=person_pk, outcome=outcome)
    _record(act, "approved", before=None, after={"approved_by": actor()}, reason=act.reason, now=now)
    _record_close(act, act.reason, now)


def _refuse_grown(act: ControlAct, now: datetime) -> None:
    figures_of: Callable[..., ActFigures] = import_string(settings.CONTROL_FIGURES[act.kind])
    figures = figures_of(payload=act.payload, organisation=act.organisation, now=now)
    new = [name for name in exceeded(figures, thresholds()) if name not in act.exceeded]
    if new:
        name = new[0]
        found, limit = getattr(figures, name), getattr(thresholds(), name)
        raise ControlActGrown(
            f"control act {act.pk} has grown to {found:g} {UNITS[name]} since it was asked, above {limit:g}: ask anew",
            act=act.pk,
            field=name,
            value=found,
        )


def _expire(act: ControlAct, now: datetime) -> None:
    _close(act, ControlAct.State.EXPIRED, now=now, user_pk=None, outcome={})
    _record_close(act, "", now)


def _close(act: ControlAct, state: str, *, now: datetime, user_pk: int | None, outcome: Outcome) -> None:
    act.state, act.decided_at, act.decided_by_id, act.outcome = state, now, user_pk, dict(outcome)
    act.save(update_fields=["state", "decided_at", "decided_by", "outcome"])


def _record_close(act: ControlAct, reason: str, now: datetime) -> None:
    before = {"state": ControlAct.State.PENDING}
    _record(act, act.state, before=before, after={"state": act.state, "outcome": act.outcome}, reason=reason, now=now)


def _record(
    act: ControlAct,
    what: str,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object],
    reason: str,
    now: datetime,
) -> None:
    record_event(
        action=f"control_act.{what}",
        subject=f"control act {act.pk}, {act.kind}: {act.subject}",
        organisation=act.organisation,
        reason=reason,
        before=before,
        after=after,
        at=now,
    )
