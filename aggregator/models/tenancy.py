"""The first tenant wall: managers that do not answer until they are told whose rows are asked for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.db import models

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

    def __init__(self, tenant_path: str = "organisation") -> None:
        super().__init__()
        self._tenant_path = tenant_path

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
        path = getattr(self.model._meta.default_manager, "_tenant_path", self._tenant_path)  # noqa: SLF001
        return self.across_tenants().filter(**{path: organisation}).distinct()

    def across_tenants(self) -> models.QuerySet[M]:
        """Rows of every organisation, for work of the platform itself; from another row, only those related to it."""
        rows = super().get_queryset()
        # Related managers inherit from this class; they narrow rows in get_queryset, which raises here.
        narrow: Callable[[models.QuerySet[M]], models.QuerySet[M]] | None = getattr(self, "_apply_rel_filters", None)
        return narrow(rows) if narrow else rows
