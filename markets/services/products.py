"""Products: stated once, with the rules they are measured and paid by; a changed rule is a new version.

A version is never edited, by nobody (``markets/migrations`` takes the right away): what was settled under it can be
worked out again by the very rules it was settled by.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from math import isfinite

from django.core.exceptions import ValidationError
from django.db import transaction
from django.forms.models import model_to_dict

from aggregator.core.errors import FlexError
from aggregator.models import Organisation
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from markets.core.baseline_methods import METHODS
from markets.models import Product
from markets.services.product_terms import OPTIONAL, TERM_NAMES
from markets.services.rules import baseline_method, performance_rule, standard_terms

AVAILABILITY_FAMILIES = frozenset(family for family in Product.Family.values if family.endswith("_availability"))


class InvalidProduct(FlexError):
    code = "markets.invalid_product"


class ProductExists(FlexError):
    code = "markets.product_exists"


class ProductChanged(FlexError):
    code = "markets.product_changed"


class UnknownProductVersion(FlexError):
    code = "markets.unknown_product_version"


def make_product(*, code: str, name: str, buyer: Organisation, valid_from: datetime) -> Product:
    """The first version of a product by the standard rules; asking again changes nothing."""
    with transaction.atomic():
        product, is_new = Product.objects.get_or_create(
            code=code, version=1, defaults={"name": name, "buyer": buyer, "valid_from": valid_from}
        )
        if is_new:
            _record(product, before=None, reason="", at=valid_from)
    return product


def state_product(
    *,
    buyer: Organisation,
    code: str,
    terms: Mapping[str, object],
    valid_from: datetime,
    reason: str,
    now: datetime,
) -> Product:
    """State a product's first version; what ``terms`` leave out is as its baseline method and the model have it.

    Raises:
        ProductExists: the code stands for a product already.
        InvalidProduct: a term that is unknown, out of range or at odds with another.
    """
    product = planned_product(buyer=buyer, code=code, terms=terms, valid_from=valid_from)
    with transaction.atomic():
        take_turn("state a product", code)
        if Product.objects.filter(code=code).exists():
            raise ProductExists(f"product {code} is stated already: a change of it is a new version", field="code")
        product.save(force_insert=True)
        _record(product, before=None, reason=reason, at=now)
    return product


def planned_product(*, buyer: Organisation, code: str, terms: Mapping[str, object], valid_from: datetime) -> Product:
    """A product's first version, checked and not stored.

    Raises:
        InvalidProduct: as for ``state_product``.
    """
    method = terms.get("baseline_method", Product().baseline_method)
    standard = standard_terms(str(method)) if method in METHODS else {}
    product = Product(code=code, version=1, buyer=buyer, valid_from=valid_from)
    return _checked(_stated(product, {**standard, **terms}))


def planned_version(
    *,
    organisation: Organisation,
    code: str,
    of_version: int,
    changes: Mapping[str, object],
    valid_from: datetime,
    now: datetime,
) -> Product:
    """The version that would follow, checked and not stored.

    Raises:
        UnknownProductVersion: the organisation buys no product with this code and version.
        ProductChanged: ``of_version`` is not the newest: somebody else changed the product meanwhile.
        InvalidProduct: a term that is unknown, out of range or at odds with another; nothing changes; or the version
            would be valid before now or before the one it supersedes.
    """
    last = Product.objects.filter(code=code, buyer=organisation).order_by("-version").first()
    if last is None or of_version > last.version:
        raise UnknownProductVersion(f"{organisation.code} buys no product {code} v{of_version}", field="code")
    if of_version != last.version:
        raise ProductChanged(
            f"product {code} is at v{last.version}: v{of_version} was looked at",
            field="of_version",
            newest=last.version,
        )
    if valid_from < now or valid_from < last.valid_from:
        raise InvalidProduct(
            f"{code} v{of_version + 1} would be valid from {valid_from.isoformat()}, expected no earlier than "
            f"{max(now, last.valid_from).isoformat()}",
            field="valid_from",
        )
    product = Product(code=code, version=last.version + 1, buyer=organisation, valid_from=valid_from, supersedes=last)
    product = _checked(_stated(product, {**terms_of(last), **changes}))
    if not changed_terms(last, product):
        raise InvalidProduct(f"{code} v{product.version} would state just what v{last.version} does")
    return product


def revise_product(
    *,
    organisation: Organisation,
    code: str,
    of_version: int,
    changes: Mapping[str, object],
    valid_from: datetime,
    reason: str,
    now: datetime,
) -> Product:
    """Make the next version of a product; calls received from ``valid_from`` on are measured and paid by it.

    Raises:
        FlexError: as for ``planned_version``; nothing is changed then.
    """
    with transaction.atomic():
        take_turn("state a product", code)
        product = planned_version(
            organisation=organisation,
            code=code,
            of_version=of_version,
            changes=changes,
            valid_from=valid_from,
            now=now,
        )
        product.save(force_insert=True)
        _record(product, before=product.supersedes, reason=reason, at=now)
    return product


def changed_terms(one: Product, other: Product) -> tuple[str, ...]:
    """Names of the terms that two versions state differently."""
    return tuple(name for name in TERM_NAMES if getattr(one, name) != getattr(other, name))


def terms_of(product: Product) -> dict[str, object]:
    """What a version states, by name."""
    return {name: getattr(product, name) for name in TERM_NAMES}


def _stated(product: Product, terms: Mapping[str, object]) -> Product:
    for name, value in terms.items():
        if name not in TERM_NAMES:
            raise InvalidProduct(f"{product.code}: a product has no term {name}", field=name)
        setattr(product, name, value)
    return product


def _checked(product: Product) -> Product:
    """Check each term alone, then the rules they make together."""
    _check_fields(product)
    if product.availability_gbp_per_mw_h is not None and product.family not in AVAILABILITY_FAMILIES:
        raise InvalidProduct(
            f"{product.code}: {product.get_family_display()} pays no availability, found "
            f"{product.availability_gbp_per_mw_h} GBP/MW/h",
            field="availability_gbp_per_mw_h",
        )
    try:
        performance_rule(product)
        baseline_method(product)
    except FlexError as error:
        raise InvalidProduct(error.message, **{"field": "baseline_method", **error.details}) from error
    # Whether the version is taken is asked where it is stored, behind a lock.
    _refuse_invalid(product, partial(product.validate_constraints, exclude={"code"}))
    return product


def _check_fields(product: Product) -> None:
    nothing = [name for name in (*OPTIONAL, "supersedes") if getattr(product, name) is None]
    _refuse_invalid(product, partial(product.clean_fields, exclude=nothing))
    for name in TERM_NAMES:
        value = getattr(product, name)
        if isinstance(value, float) and not isfinite(value):
            raise InvalidProduct(f"{product.code}: {name} is {value}, expected a finite number", field=name)
        is_below = value < timedelta(0) if isinstance(value, timedelta) else _is_negative(value)
        if is_below:
            raise InvalidProduct(f"{product.code}: {name} is {value}, expected no less than 0", field=name)


def _is_negative(value: object) -> bool:
    return isinstance(value, float | Decimal) and value < 0


def _refuse_invalid(product: Product, check: Callable[[], None]) -> None:
    try:
        check()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        said = f"{field} is {getattr(product, field)}: " if hasattr(product, field) else ""
        raise InvalidProduct(f"{product.code}: {said}{' '.join(messages)}", field=field) from error


def _record(product: Product, *, before: Product | None, reason: str, at: datetime) -> None:
    record_event(
        action="product.made" if before is None else "product.revised",
        subject=f"product {product}",
        organisation=product.buyer,
        reason=reason,
        before=None if before is None else _facts(before),
        after=_facts(product),
        at=at,
    )


def _facts(product: Product) -> dict[str, object]:
    return {**model_to_dict(product, exclude=["id", "buyer", "supersedes"]), "buyer": product.buyer.code}
