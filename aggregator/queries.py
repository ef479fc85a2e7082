"""Read-only querysets for pages and the API."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db.models import Case, IntegerField, QuerySet, Sum, Value, When

from aggregator.models import Finding, Membership, NetworkNode, Organisation

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

SEVERITIES = ("info", "warning", "alarm")


def memberships_of(user: "AbstractBaseUser | AnonymousUser") -> QuerySet[Membership]:
    """Organisations one person acts for, in the order of their codes."""
    return Membership.objects.filter(user=user.pk).select_related("organisation").order_by("organisation__code")


def nodes_of(dno: Organisation) -> QuerySet[NetworkNode]:
    """One DNO's network."""
    return NetworkNode.objects.filter(organisation=dno).order_by("code")


def worst_severity_by_code(sources: Iterable[str]) -> dict[str, str]:
    """Most severe finding of each code that these sources noticed, whoever it concerns: no subject is told."""
    rank = Case(*(When(severity=name, then=Value(index)) for index, name in enumerate(SEVERITIES)))
    found = Finding.objects.across_tenants().filter(source__in=list(sources)).annotate(rank=rank)
    worst: dict[str, str] = {}
    for code, index in found.order_by("code", "rank").values_list("code", "rank").distinct():
        worst[code] = SEVERITIES[index]
    return worst


def findings_by_code(organisation: Organisation, sources: Iterable[str]) -> dict[str, int]:
    """Count one organisation's own findings from these sources."""
    found = Finding.objects.for_tenant(organisation).filter(source__in=list(sources)).values("code")
    counts = found.annotate(n=Sum(Value(1), output_field=IntegerField())).order_by("code")
    return {row["code"]: row["n"] for row in counts}
