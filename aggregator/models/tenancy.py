"""The first tenant wall: managers that do not answer until they are told whose rows are asked for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aggregator.core.errors import FlexError

if TYPE_CHECKING:
    from aggregator.models.organisations import Organisation

M = TypeVar("M", bound=models.Model)


class TenantRequired(FlexError):
    code = "tenancy.tenant_required"


class TenantManager(models.Manager[M]):
    """Manager of rows that belong to one organisation.

    ``for_tenant(organisation)`` answers with that organisation's rows. ``across_tenants()`` is for the
    platform's own work (a dispatch sees every DSRSP's fleet at once) and is easy to find in a review.
    Anything else raises: a forgotten scope is an error, never another tenant's data.
    """

    def __init__(self, tenant_path: str = "organisation", *, while_enrolled: str = "") -> None:
        """Name the way to the tenant.

        Args:
            while_enrolled: way to enrolments; rows are the tenant's only as long as one of these is in force.
        """
        super().__init__()
        self._tenant_path = tenant_path
        self._while_enrolled = while_enrolled

    def get_queryset(self) -> models.QuerySet[M]:
        raise TenantRequired(
            f"{self.model.__name__} rows belong to tenants: ask with for_tenant(organisation) or across_tenants()",
            model=self.model.__name__,
        )

    def for_tenant(self, organisation: "Organisation") -> models.QuerySet[M]:
        """Rows of one organisation.

        Raises:
            TenantRequired: the organisation is missing or was never stored.
        """
        if organisation is None or organisation.pk is None:
            raise TenantRequired(f"{self.model.__name__} rows were asked for without a stored organisation")
        # A related manager is made without arguments: the path is known to the model's own manager.
        known = self.model._meta.default_manager  # noqa: SLF001
        path = getattr(known, "_tenant_path", self._tenant_path)
        enrolments = getattr(known, "_while_enrolled", self._while_enrolled)
        # One filter, so that it is the same enrolment that is the tenant's and in force.
        is_theirs = Q(**{path: organisation}) & (_in_force(enrolments) if enrolments else Q())
        return self.across_tenants().filter(is_theirs).distinct()

    def across_tenants(self) -> models.QuerySet[M]:
        """Rows of every organisation, for work of the platform itself; from another row, only those related to it."""
        rows = super().get_queryset()
        # Related managers inherit from this class; they narrow rows in get_queryset, which raises here.
        narrow: Callable[[models.QuerySet[M]], models.QuerySet[M]] | None = getattr(self, "_apply_rel_filters", None)
        return narrow(rows) if narrow else rows


def _in_force(enrolments: str) -> Q:
    """Enrolments in force by the database's clock, which its policies go by too."""
    is_open = Q(**{f"{enrolments}__ends_at__isnull": True}) | Q(**{f"{enrolments}__ends_at__gt": Now()})
    return is_open & Q(**{f"{enrolments}__starts_at__lte": Now()})
