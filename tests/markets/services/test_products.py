"""Products as versioned data: stated, checked, revised, never edited."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from django.db import ProgrammingError, transaction

from aggregator.models import Event
from aggregator.services.event_log import verify_events
from markets.core.baseline_given import FixedReferenceRule
from markets.core.baseline_methods import METHODS
from markets.core.payment_month import MonthTerms
from markets.models import Product
from markets.services.product_terms import OPTIONAL, TERM_NAMES
from markets.services.products import (
    InvalidProduct,
    ProductChanged,
    ProductExists,
    UnknownProductVersion,
    changed_terms,
    revise_product,
    state_product,
)
from markets.services.rules import baseline_method, baseline_rule, month_terms, performance_rule
from markets.services.settlement import settle_event
from tests.factories import make_dno
from tests.markets.services.test_settlement import AS_OF, evening

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
NEXT_MONTH = datetime(2026, 2, 1, tzinfo=UTC)
ALL_FAMILIES = Product.Family.values


def stated(**terms: object) -> Product:
    return state_product(
        buyer=make_dno(),
        code="su",
        terms={"name": "Scheduled", **terms},
        valid_from=NOW,
        reason="tender of January",
        now=NOW,
    )


def revised(*, of_version: int = 1, valid_from: datetime = NEXT_MONTH, **changes: object) -> Product:
    return revise_product(
        organisation=make_dno(),
        code="su",
        of_version=of_version,
        changes=changes,
        valid_from=valid_from,
        reason="prices of February",
        now=NOW,
    )


class TestTerms:
    def test_are_every_column_that_a_version_states(self):
        identity = {"id", "code", "version", "buyer", "valid_from", "supersedes"}
        columns = {field.name: field for field in Product._meta.concrete_fields if field.name not in identity}

        assert set(TERM_NAMES) == set(columns)
        assert len(TERM_NAMES) == len(columns)
        assert {name for name, column in columns.items() if column.null} == OPTIONAL


@pytest.mark.django_db
class TestStateProduct:
    @pytest.mark.parametrize("family", ALL_FAMILIES)
    def test_states_every_family(self, family):
        product = Product.objects.get(pk=stated(family=family).pk)

        assert (str(product), product.family, product.supersedes) == ("su v1", family, None)

    @pytest.mark.parametrize("method", list(METHODS))
    def test_takes_each_baseline_method_as_its_sources_have_it(self, method):
        product = Product.objects.get(pk=stated(baseline_method=method).pk)

        assert baseline_method(product) == METHODS[method].rule

    def test_reads_a_methods_parameters(self):
        product = stated(baseline_method="fixed-reference", baseline_parameters={"reference_kw": 1.2})

        assert baseline_method(product) == FixedReferenceRule(reference_kw=(1.2,))
        assert baseline_rule(product).lookback_days == 2

    def test_keeps_who_stated_what_in_the_log(self):
        stated(notice=timedelta(minutes=15))

        (event,) = Event.objects.across_tenants().filter(action="product.made")
        assert (event.subject, event.reason, event.before) == ("product su v1", "tender of January", None)
        assert event.after["notice"] == "P0DT00H15M00S"
        assert verify_events().is_intact

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({"colour": "red"}, "colour"),
            ({"family": "sustain"}, "family"),
            ({"availability_gbp_per_mw_h": Decimal(5)}, "availability_gbp_per_mw_h"),
            ({"utilisation_gbp_per_mwh": Decimal("1.005")}, "utilisation_gbp_per_mwh"),
            ({"grace": float("nan")}, "grace"),
            ({"grace": None}, "grace"),
            ({"min_kw": -1.0}, "min_kw"),
            ({"notice": timedelta(minutes=-1)}, "notice"),
            ({"scale": [[0.5, 1], [1, 0.5]]}, "scale"),
            ({"scale": "half"}, "scale"),
            ({"baseline_method": "crystal-ball"}, "baseline_method"),
            ({"baseline_parameters": {"colour": 1}}, "baseline_parameters"),
            ({"baseline_parameters": [1]}, "baseline_parameters"),
            ({"n_working_days": 2}, "baseline_method"),
            ({"min_meters_share": 1.5}, "__all__"),
        ],
    )
    def test_refuses_a_term_that_does_not_hold_and_names_it(self, terms, field):
        with pytest.raises(InvalidProduct) as refused, transaction.atomic():
            stated(**terms)

        assert refused.value.details["field"] == field
        assert not Product.objects.exists()

    def test_refuses_a_code_that_is_taken(self):
        stated()
        with pytest.raises(ProductExists):
            stated()

    def test_pays_by_what_is_stated(self):
        product = stated(
            family=Product.Family.OPERATIONAL_SCHEDULED_AVAILABILITY,
            availability_gbp_per_mw_h=Decimal(5),
            availability_factor="previous-month",
            scale=[["0.5", "0.5"], [1, 1]],
            penalty_gbp_per_mwh=Decimal(40),
            cap_gbp_per_event=Decimal(100),
            cap_gbp_per_month=Decimal(1000),
        )
        rule = performance_rule(product)

        assert rule.scale == ((Decimal("0.5"), Decimal("0.5")), (Decimal(1), Decimal(1)))
        assert (rule.penalty_gbp_per_mwh, rule.cap_gbp_per_event) == (40, 100)
        assert month_terms(product) == MonthTerms(
            availability_gbp_per_mw_h=Decimal(5),
            availability_factor="previous-month",
            cap_gbp_per_month=Decimal(1000),
        )


@pytest.mark.django_db
class TestReviseProduct:
    def test_makes_a_version_and_leaves_the_last_as_it_was(self):
        first = stated()
        second = revised(slope=2.0, notice=timedelta(hours=1))

        assert (str(second), second.supersedes, second.valid_from) == ("su v2", first, NEXT_MONTH)
        assert changed_terms(first, second) == ("notice", "slope")
        assert Product.objects.get(version=1).slope == 3.0
        (event,) = Event.objects.across_tenants().filter(action="product.revised")
        assert (event.before["slope"], event.after["slope"], event.reason) == (3.0, 2.0, "prices of February")

    def test_refuses_a_change_of_what_somebody_changed_meanwhile(self):
        stated()
        revised(slope=2.0)
        with pytest.raises(ProductChanged):
            revised(slope=4.0)
        assert str(revised(of_version=2, slope=4.0)) == "su v3"

    @pytest.mark.parametrize(
        ("stated_anew", "error"),
        [
            ({}, InvalidProduct),
            ({"slope": 3.0}, InvalidProduct),
            ({"slope": -1.0}, InvalidProduct),
            ({"slope": 2.0, "valid_from": NOW - timedelta(seconds=1)}, InvalidProduct),
            ({"slope": 2.0, "of_version": 2}, UnknownProductVersion),
        ],
    )
    def test_refuses_what_is_no_version_and_changes_nothing(self, stated_anew, error):
        stated()
        with pytest.raises(error), transaction.atomic():
            revised(**stated_anew)
        assert Product.objects.count() == 1

    def test_refuses_anothers_product(self):
        stated()
        with pytest.raises(UnknownProductVersion):
            revise_product(
                organisation=make_dno("other"),
                code="su",
                of_version=1,
                changes={"slope": 1.0},
                valid_from=NEXT_MONTH,
                reason="not mine",
                now=NOW,
            )

    def test_leaves_a_settled_event_with_the_version_it_was_settled_under(self):
        area, event, run = evening()
        first = settle_event(event=event, run=run, as_of=AS_OF)
        before = (event.product, bytes(first.statements(manager="objects").across_tenants().first().content))
        later = AS_OF + timedelta(days=1)
        revise_product(
            organisation=area.dno,
            code=event.product.code,
            of_version=1,
            changes={"slope": 20.0, "grace": 0.0, "cap_gbp_per_event": Decimal("0.01")},
            valid_from=later,
            reason="harder",
            now=AS_OF,
        )

        again = settle_event(event=event, run=run, as_of=later)

        event.refresh_from_db()
        assert again == first
        assert (event.product, bytes(first.statements(manager="objects").across_tenants().first().content)) == before


@pytest.mark.django_db
class TestAVersion:
    @pytest.mark.parametrize("statement", ["UPDATE markets_product SET slope = 1", "DELETE FROM markets_product"])
    def test_is_not_changed_by_the_application(self, statement):
        from django.db import connection

        stated()
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        assert Product.objects.get().slope == 3.0


class TestAVersionInUse:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE markets_product SET slope = 1 WHERE version = 1",
            "DELETE FROM markets_product WHERE version = 1",
        ],
    )
    def test_is_not_changed_by_its_owner_either(self, owner_login, statement):
        stated()
        revised(slope=2.0)
        with (
            psycopg.connect(**owner_login) as session,
            pytest.raises(psycopg.errors.RestrictViolation, match="su v1 is in use"),
        ):
            session.execute(statement)
        assert Product.objects.get(version=1).slope == 3.0
