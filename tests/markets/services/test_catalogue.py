"""The catalogue of published products, loaded as versioned data."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from io import StringIO

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from aggregator.models import Organisation
from markets.core.catalogue import CATALOGUE
from markets.core.payment import event_payment, performance_factor
from markets.models import Product
from markets.services.catalogue import CatalogueConflict, load_catalogue
from markets.services.products import planned_product, revise_product
from markets.services.rules import baseline_method, month_terms, performance_rule

NOW = datetime(2026, 1, 10, tzinfo=UTC)
BY_CODE = {entry.code: entry for entry in CATALOGUE}


def rule_of(code: str):
    entry = BY_CODE[code]
    product = Product(code=code, version=1, **entry.stated())
    return performance_rule(product)


class TestCatalogue:
    def test_has_every_operator_and_every_family(self):
        assert {entry.operator for entry in CATALOGUE} == {"nged", "ssen", "spen", "enwl", "npg", "ukpn"}
        assert {entry.family for entry in CATALOGUE} == set(Product.Family.values)
        assert len(BY_CODE) == len(CATALOGUE)

    def test_names_a_source_and_what_is_uncertain_for_each(self):
        assert all(len(entry.source) > 20 and len(entry.uncertain) > 20 for entry in CATALOGUE)

    @pytest.mark.parametrize(
        ("d", "factor"),
        [("1", "1"), ("0.95", "1"), ("0.94", "0.97"), ("0.9", "0.85"), ("0.8", "0.55"), ("0.7", "0.25"), ("0.62", "0")],
    )
    def test_pays_what_flexible_power_published(self, d, factor):
        for code in ("nged-secure", "nged-dynamic", "nged-restore"):
            assert performance_factor(Decimal(d), rule_of(code)) == Fraction(factor)

    @pytest.mark.parametrize(
        ("code", "delivered", "gbp"),
        [
            ("ukpn-scheduled", "130", "39.00"),
            ("ukpn-scheduled", "80", "0.00"),
            ("ukpn-scheduled", "84", "25.20"),
            ("ssen-scheduled", "130", "39.00"),
            ("ssen-transition-dynamic", "130", "36.21"),
            ("ssen-transition-dynamic", "69", "0.00"),
        ],
    )
    def test_pays_as_delivered_where_an_operator_does(self, code, delivered, gbp):
        payment = event_payment(
            ordered_kwh=Decimal(140),
            delivered_kwh=Decimal(delivered),
            price_gbp_per_mwh=Decimal(300),
            rule=rule_of(code),
        )

        assert payment.payment_gbp == Decimal(gbp)

    @given(
        code=st.sampled_from(sorted(BY_CODE)),
        one=st.decimals(-200, 200, places=4),
        other=st.decimals(-200, 200, places=4),
    )
    def test_never_pays_more_for_less(self, code, one, other):
        less, more = (
            event_payment(
                ordered_kwh=Decimal(140), delivered_kwh=got, price_gbp_per_mwh=Decimal(300), rule=rule_of(code)
            ).payment_gbp
            for got in sorted((one, other))
        )

        assert 0 <= less <= more <= 42


@pytest.mark.django_db
class TestLoadCatalogue:
    def test_states_every_product_once(self):
        loaded = load_catalogue(now=NOW)
        again = load_catalogue(now=NOW)

        assert set(loaded.made) == set(again.same) == set(BY_CODE)
        assert (again.made, again.revised, again.differs) == ((), (), ())
        assert Product.objects.count() == len(CATALOGUE)
        for product in Product.objects.all():
            assert baseline_method(product).name == product.baseline_method
            assert month_terms(product).rounding == "event"
            assert product.buyer.kind == Organisation.Kind.DNO

    def test_leaves_what_somebody_revised_alone_unless_it_is_told(self):
        load_catalogue(now=NOW)
        buyer = Organisation.objects.get(code="ukpn")
        revise_product(
            organisation=buyer,
            code="ukpn-scheduled",
            of_version=1,
            changes={"cutoff": 0.7},
            valid_from=NOW,
            reason="contract of 2026",
            now=NOW,
        )

        assert load_catalogue(now=NOW).differs == ("ukpn-scheduled",)
        assert Product.objects.filter(code="ukpn-scheduled").count() == 2
        assert load_catalogue(now=NOW, update=True).revised == ("ukpn-scheduled",)
        newest = Product.objects.get(code="ukpn-scheduled", version=3)
        assert (newest.cutoff, newest.supersedes.version) == (0.6, 2)
        assert not load_catalogue(now=NOW, update=True).revised

    def test_makes_a_version_where_an_edition_changes(self):
        load_catalogue(now=NOW)
        newer = tuple(replace(entry, terms={**entry.terms, "min_kw": 50.0}) for entry in CATALOGUE)

        assert set(load_catalogue(now=NOW, update=True, entries=newer).revised) == set(BY_CODE)

    def test_refuses_an_organisation_that_is_no_network_operator(self):
        Organisation.objects.create(code="npg", name="Not a grid", kind=Organisation.Kind.DSRSP)

        with pytest.raises(CatalogueConflict):
            load_catalogue(now=NOW)
        assert not Product.objects.exists()

    def test_refuses_a_code_that_another_buys(self):
        other = Organisation.objects.create(code="other", name="Other", kind=Organisation.Kind.DNO)
        planned_product(buyer=other, code="npg-lv", terms={"name": "Mine"}, valid_from=NOW).save()

        with pytest.raises(CatalogueConflict):
            load_catalogue(now=NOW)

    def test_is_a_command(self):
        said = StringIO()
        call_command("load_catalogue", stdout=said)
        call_command("load_catalogue", stdout=said)

        first, second = said.getvalue().splitlines()
        assert f"{len(CATALOGUE)} products stated, 0 revised, 0 as they were" in first
        assert f"0 products stated, 0 revised, {len(CATALOGUE)} as they were" in second
