"""The two walls agree: what the first shows an organisation, the second does not cut, joins included."""

import inspect
from collections.abc import Callable

import pytest
from django.db.models import Model, QuerySet
from django.utils import timezone

from aggregator import queries as ground
from aggregator.models import Organisation, acting_for, as_nobody, as_platform
from dispatch import queries as middle
from markets import queries as top
from tests.walls.rows import KINDS, make_rows

SEEN_BY = {
    f"{module.__name__}.{name}": function
    for module in (ground, middle, top)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.endswith("_seen_by") and function.__module__ == module.__name__
}
# Cut on purpose: a market operator has no network's rows, and its page of a cycle is the platform's own to make.
CUT = {"elx": ["markets.queries.cycles_seen_by"]}

# Tables without row-level security, for the reasons of test_row_security.py.
PUBLISHED = {
    "aggregator.queries.organisations_seen_by": "its scope is tried by the matrix",
    "aggregator.queries.csms_seen_by": "a catalogue, open to whose role has anything to do with it",
    "aggregator.queries.tariffs_seen_by": "published",
    "markets.queries.markets_seen_by": "published",
    "markets.queries.products_seen_by": "published",
    "markets.queries.primacy_rules_seen_by": "published",
    "markets.queries.stacking_rules_seen_by": "published",
}


@pytest.mark.django_db
class TestSeenBy:
    def test_are_there(self):
        assert len(SEEN_BY) >= 30

    @pytest.mark.parametrize("name", KINDS)
    def test_shows_an_organisation_the_same_behind_the_second_wall(self, name):
        organisation = make_rows().organisations[name]
        cut = []
        for label, function in SEEN_BY.items():
            expected = asked(function, organisation)
            with acting_for(organisation):
                if asked(function, organisation) != expected:
                    cut.append(label)
        assert cut == CUT.get(name, [])

    @pytest.mark.parametrize("label", sorted(SEEN_BY.keys() - PUBLISHED.keys()))
    def test_is_noticed_when_it_shows_everybodys_rows(self, label):
        """The comparison above is no empty word: without its scope, a function shows what the second wall cuts."""
        organisations = make_rows().organisations.values()
        assert any(is_cut_without_scope(SEEN_BY[label], organisation) for organisation in organisations)

    def test_shows_nobody_a_row_that_is_bound(self):
        rows = make_rows()
        shown = []
        with as_nobody():
            for label, function in SEEN_BY.items():
                for organisation in rows.organisations.values():
                    found = function(organisation, **times(function))
                    if found.model in rows.readers and found.exists():
                        shown.append(label)
        assert shown == []


def asked(function: Callable[..., QuerySet], organisation: Organisation) -> list[object]:
    """Keys of the rows as the function returns them, with all that it joins."""
    return sorted((row.pk for row in function(organisation, **times(function))), key=str)


def times(function: Callable[..., QuerySet]) -> dict[str, object]:
    return {name: timezone.now() for name in inspect.signature(function).parameters if name in ("at", "now")}


def is_cut_without_scope(function: Callable[..., QuerySet], organisation: Organisation) -> bool:
    """Whether the second wall cuts anything off all rows of the table a function asks."""
    model = function(organisation, **times(function)).model
    everything = QuerySet(model)
    with acting_for(organisation):
        return everything.all().count() < n_of_all(model)


def n_of_all(model: type[Model]) -> int:
    with as_platform():
        return QuerySet(model).count()
