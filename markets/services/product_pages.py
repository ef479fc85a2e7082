"""Products as pages show them: their terms in words, and what each version changed."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from aggregator.models import Organisation
from markets.core.baseline_methods import METHODS
from markets.models import Product
from markets.queries import products_seen_by
from markets.services.product_terms import GROUPS, TERMS, Term
from markets.services.products import changed_terms


@dataclass(frozen=True, slots=True)
class TermLine:
    """A term, its value in words, and the value before where that was another."""

    label: str
    value: str
    unit: str
    before: str = ""
    is_changed: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class TermGroup:
    title: str
    lines: tuple[TermLine, ...]


@dataclass(frozen=True, slots=True)
class VersionLine:
    pk: int
    version: int
    valid_from: datetime
    changes: tuple[TermLine, ...]


@dataclass(frozen=True, slots=True)
class ProductPageFacts:
    """One version with its groups of terms, and every version of the product, the newest first.

    Attributes:
        state: ``In force``, ``Not yet valid`` or ``Superseded``: what a request received now would find.
    """

    pk: int
    code: str
    version: int
    name: str
    buyer: str
    valid_from: datetime
    state: str
    is_newest: bool
    newest_pk: int
    is_own: bool
    n_event: int
    groups: tuple[TermGroup, ...]
    versions: tuple[VersionLine, ...]


def product_page(*, product_pk: int, organisation: Organisation, now: datetime) -> ProductPageFacts | None:
    """A version of a product as everybody who takes part may read it; None where there is none."""
    product = products_seen_by(organisation).filter(pk=product_pk).first()
    if product is None:
        return None
    versions = list(products_seen_by(organisation).filter(code=product.code).order_by("-version"))
    return ProductPageFacts(
        pk=product.pk,
        code=product.code,
        version=product.version,
        name=product.name,
        buyer=product.buyer.name,
        valid_from=product.valid_from,
        state=_state(product, versions, now),
        is_newest=product.pk == versions[0].pk,
        newest_pk=versions[0].pk,
        is_own=product.buyer_id == organisation.pk,
        n_event=product.events.count(),
        groups=term_groups(product),
        versions=tuple(
            VersionLine(one.pk, one.version, one.valid_from, change_lines(before, one) if before else ())
            for one, before in zip(versions, [*versions[1:], None], strict=True)
        ),
    )


def _state(product: Product, versions: list[Product], now: datetime) -> str:
    if product.valid_from > now:
        return "Not yet valid"
    in_force = max(one.version for one in versions if one.valid_from <= now)
    return "In force" if product.version == in_force else "Superseded"


def term_groups(product: Product) -> tuple[TermGroup, ...]:
    """Every term in words, in groups."""
    return tuple(TermGroup(title, tuple(_term_line(product, term) for term in terms)) for title, terms in GROUPS)


def _term_line(product: Product, term: Term) -> TermLine:
    value = said(product, term)
    return TermLine(term.label, value, "" if value == term.empty else term.unit, hint=term.hint)


def change_lines(before: Product, after: Product) -> tuple[TermLine, ...]:
    """The terms that two versions state differently, each in both words."""
    changed = changed_terms(before, after)
    return tuple(
        TermLine(term.label, said(after, term), term.unit, before=said(before, term), is_changed=True)
        for term in TERMS
        if term.name in changed
    )


def said(product: Product, term: Term) -> str:
    """A term's value in words."""
    value = getattr(product, term.name)
    if value is None or value == "":
        return term.empty
    if term.name == "baseline_method" and value in METHODS:
        return METHODS[value].label
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return f"{value / timedelta(minutes=1):g} minutes"
    if isinstance(value, float | Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else f"{value:g}"
    if isinstance(value, list | dict):
        return json.dumps(value) if value else term.empty
    words = getattr(product, f"get_{term.name}_display", None)
    return str(words() if words else value)
