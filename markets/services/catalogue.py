"""Load the catalogue of published products; what stands already is left alone."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from aggregator.core.errors import FlexError
from aggregator.models import Organisation
from markets.core.catalogue import CATALOGUE, CatalogueEntry
from markets.models import Product
from markets.services.products import changed_terms, planned_product, revise_product, state_product, terms_of

REASON = "loaded from the catalogue"


class CatalogueConflict(FlexError):
    code = "markets.catalogue_conflict"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did, by product; ``differs`` are products that state otherwise and were left alone."""

    made: tuple[str, ...]
    revised: tuple[str, ...]
    same: tuple[str, ...]
    differs: tuple[str, ...]


def load_catalogue(*, now: datetime, update: bool = False, entries: tuple[CatalogueEntry, ...] = CATALOGUE) -> Loaded:
    """State each product of the catalogue that is not there; loading again changes nothing.

    Args:
        update: where the newest version states otherwise than the catalogue, make a version as the catalogue has it.

    Raises:
        CatalogueConflict: a code of the catalogue is of an organisation that is no network operator, or another's.
    """
    done: dict[str, list[str]] = {"made": [], "revised": [], "same": [], "differs": []}
    with transaction.atomic():
        for entry in entries:
            done[_load(entry, now=now, update=update)].append(entry.code)
    return Loaded(**{what: tuple(codes) for what, codes in done.items()})


def _load(entry: CatalogueEntry, *, now: datetime, update: bool) -> str:
    buyer = _buyer(entry)
    newest = Product.objects.filter(code=entry.code).order_by("-version").first()
    if newest is None:
        state_product(
            buyer=buyer, code=entry.code, terms=entry.stated(), valid_from=entry.valid_from, reason=REASON, now=now
        )
        return "made"
    if newest.buyer_id != buyer.pk:
        raise CatalogueConflict(f"product {entry.code} is bought by {newest.buyer.code}, not {buyer.code}")
    planned = planned_product(buyer=buyer, code=entry.code, terms=entry.stated(), valid_from=entry.valid_from)
    if not changed_terms(newest, planned):
        return "same"
    if not update:
        return "differs"
    revise_product(
        organisation=buyer,
        code=entry.code,
        of_version=newest.version,
        changes=terms_of(planned),
        valid_from=max(now, newest.valid_from),
        reason=REASON,
        now=now,
    )
    return "revised"


def _buyer(entry: CatalogueEntry) -> Organisation:
    buyer, _ = Organisation.objects.get_or_create(
        code=entry.operator, defaults={"name": entry.operator_name, "kind": Organisation.Kind.DNO}
    )
    if buyer.kind != Organisation.Kind.DNO:
        raise CatalogueConflict(f"organisation {buyer.code} is no network operator, the catalogue takes it for one")
    return buyer
