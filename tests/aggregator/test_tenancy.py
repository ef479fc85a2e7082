from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.apps import apps
from django.db import models
from django.utils import timezone

from aggregator.core.timegrid import utc
from aggregator.models import (
    EVSE,
    ChargingSession,
    ControlAct,
    Enrolment,
    Event,
    EvseIdentity,
    Finding,
    FleetUpload,
    IdempotentRequest,
    Meter,
    MeterDay,
    Organisation,
    TenantManager,
    TenantRequired,
    acting_for,
)
from dispatch.models import SparedEvse
from markets.models import (
    AssetRegistration,
    BoundaryVolume,
    Contract,
    ControlGroup,
    ControlGroupMember,
    DeliveredVolumeFile,
    DeviationVolume,
    FlexOffer,
    FlexOrder,
    InstructionStop,
    Invoice,
    InvoiceLine,
    InvoiceSeal,
    Nomination,
    ReboundPeriod,
    SecondaryUnit,
    ShortfallCause,
    StatementReason,
)
from markets.services.cycle import run_cycle
from tests.factories import make_dno, make_enrolment, make_evse, make_meter, make_organisation
from tests.walks.small_area import call, make_batch, make_small_area

APPS = ("aggregator", "dispatch", "markets")
DAY = date(2026, 1, 15)
# They name an organisation and are read across tenants on purpose, each for its reason.
SHARED = {
    "NetworkNode": "the DNO's network is what every DSRSP is dispatched on",
    "Membership": "read to learn whose rows a person may see",
    "MachineClient": "read to learn whose rows a token may see",
    "Batch": "who delivered; the rows in it have owners of their own",
    "TargetSignal": "a request stands before every fleet in its zone",
    "Product": "its terms are the same for all",
    "FlexEvent": "it may name whom it calls alone; policies say who reads it, as its request's",
    "Market": "a buyer's market is read by all who may offer in it",
    "FlexRequest": "what a buyer asks is read by all who may offer on it",
}
# What a cycle makes for neither DSRSP, or not for each.
NOT_OF_A_CYCLE = {
    *(ControlAct, Event, Finding, FleetUpload, IdempotentRequest),
    *(Contract, FlexOffer, FlexOrder, InstructionStop, Nomination),
    *(ControlGroup, ControlGroupMember, SparedEvse),
    *(AssetRegistration, BoundaryVolume, DeliveredVolumeFile, DeviationVolume, SecondaryUnit),
    *(Invoice, InvoiceLine, InvoiceSeal, ReboundPeriod, ShortfallCause, StatementReason),
}


def own_models() -> list[type[models.Model]]:
    return [model for name in APPS for model in apps.get_app_config(name).get_models()]


def tenant_fields(model: type[models.Model]) -> list[str]:
    return [field.name for field in model._meta.fields if field.related_model is Organisation]


TENANT_MODELS = [model for model in own_models() if isinstance(model._default_manager, TenantManager)]
ASKED: dict[str, Callable[[models.Manager], object]] = {
    "all": lambda rows: rows.all(),
    "filter": lambda rows: rows.filter(pk=1),
    "exclude": lambda rows: rows.exclude(pk=1),
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "get": lambda rows: rows.get(pk=1),
    "first": lambda rows: rows.first(),
    "latest": lambda rows: rows.latest("pk"),
    "values": lambda rows: rows.values(),
    "values_list": lambda rows: rows.values_list("pk"),
    "iterator": lambda rows: rows.iterator(),
    "in_bulk": lambda rows: rows.in_bulk([1]),
    "order_by": lambda rows: rows.order_by("pk"),
    "select_related": lambda rows: rows.select_related(),
    "aggregate": lambda rows: rows.aggregate(models.Count("pk")),
    "annotate": lambda rows: rows.annotate(),
    "none": lambda rows: rows.none(),
    "raw queryset": lambda rows: rows.get_queryset(),
    "create": lambda rows: rows.create(),
    "get_or_create": lambda rows: rows.get_or_create(pk=1),
    "update_or_create": lambda rows: rows.update_or_create(pk=1),
    "bulk_create": lambda rows: rows.bulk_create([]),
    "update": lambda rows: rows.update(pk=1),
}


class TestTenantManager:
    def test_guards_every_model_with_a_tenant(self):
        unguarded = {model.__name__ for model in own_models() if tenant_fields(model) and model not in TENANT_MODELS}
        assert unguarded == set(SHARED)

    def test_guards_a_dozen_models(self):
        names = {model.__name__ for model in TENANT_MODELS}
        assert names >= {"EVSE", "EvseIdentity", "Enrolment", "Meter", "MeterDay", "ChargingSession", "Finding"}
        assert names >= {"EvseForecast", "GroupForecast", "Setpoint", "Instruction", "Statement"}

    @pytest.mark.parametrize("asked", ASKED)
    @pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
    def test_does_not_answer_without_a_tenant(self, model, asked):
        with pytest.raises(TenantRequired, match=model.__name__) as refused:
            ASKED[asked](model._default_manager)
        assert refused.value.code == "tenancy.tenant_required"

    @pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
    @pytest.mark.parametrize("nobody", [None, Organisation(code="new")], ids=["none", "unstored"])
    def test_refuses_a_tenant_that_is_nobody(self, model, nobody):
        with pytest.raises(TenantRequired):
            model._default_manager.for_tenant(nobody)

    @pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
    def test_knows_the_way_to_its_tenant(self, model):
        rows = model._default_manager.for_tenant(Organisation(pk=1, code="one"))
        assert '"organisation_id" = 1' in str(rows.query) or '"dsrsp_id" = 1' in str(rows.query)

    @pytest.mark.django_db
    def test_does_not_answer_by_a_detour_over_another_row(self):
        evse = make_evse()
        batch_owner = evse.meter.organisation
        for rows in (evse.sessions, evse.enrolments, evse.setpoints, evse.node.evses, batch_owner.meters):
            with pytest.raises(TenantRequired):
                rows.all()
            with pytest.raises(TenantRequired):
                rows.count()

    @pytest.mark.django_db
    def test_keeps_to_the_row_it_is_asked_from(self):
        one, other = make_evse("one"), make_evse("other")
        dsrsp = one.meter.organisation
        assert one.enrolments.across_tenants().get().evse == one
        assert other.enrolments.for_tenant(dsrsp).get().evse == other
        assert not make_organisation("stranger").meters.across_tenants().exists()
        assert one.node.evses.across_tenants().count() == 2
        assert not EVSE(pk=99).enrolments.across_tenants().exists()

    @pytest.mark.django_db
    def test_does_not_answer_a_prefetch(self):
        make_evse()
        with pytest.raises(TenantRequired):
            list(Organisation.objects.prefetch_related("meters"))


@pytest.mark.django_db
class TestForTenant:
    def test_keeps_every_row_of_a_cycle_apart(self):
        area = make_small_area(DAY)
        call(area, utc(DAY, time(17)), utc(DAY, time(19)))
        run_cycle(order=area.order())
        amber, blue = area.dsrsps

        for model in TENANT_MODELS:
            rows = model._default_manager
            keys = [set(rows.for_tenant(who).values_list("pk", flat=True)) for who in (amber, blue, area.dno)]
            assert not keys[0] & keys[1], model
            assert not (keys[0] | keys[1]) & keys[2], model
            if model not in NOT_OF_A_CYCLE:
                assert keys[0], model
                assert keys[1], model
            with acting_for(amber):  # the same by the second wall alone
                assert set(rows.across_tenants().values_list("pk", flat=True)) == keys[0], model
            for field in tenant_fields(model):
                owners = rows.for_tenant(amber).values_list(field, flat=True).distinct()
                assert set(owners) <= {amber.pk}, model

    def test_shows_an_evse_that_switched_to_both_and_each_its_own_sessions(self):
        amber, blue = make_organisation("amber"), make_organisation("blue")
        switched_at = datetime(2026, 1, 10, tzinfo=UTC)
        evse = make_evse("home", dsrsp=amber, enrolled_to=switched_at)
        make_enrolment(evse, blue, switched_at)
        batch = make_batch(make_dno())
        for who, at in ((amber, switched_at - timedelta(days=1)), (blue, switched_at + timedelta(days=1))):
            ChargingSession(
                evse=evse,
                organisation=who,
                session_ref=who.code,
                plug_in_at=at,
                plug_out_at=at + timedelta(hours=8),
                energy_kwh=5.0,
                received_at=at + timedelta(hours=8),
                batch=batch,
            ).save()

        for who in (amber, blue):
            assert EVSE.objects.for_tenant(who).get() == evse
            assert Enrolment.objects.for_tenant(who).get().dsrsp == who
            assert ChargingSession.objects.for_tenant(who).get().session_ref == who.code

    def test_tells_who_an_evse_is_as_long_as_it_is_enrolled(self):
        amber, blue, crimson = (make_organisation(code) for code in ("amber", "blue", "crimson"))
        now = timezone.now()
        evse = make_evse("home", dsrsp=amber, enrolled_to=now - timedelta(days=1))
        make_enrolment(evse, blue, now - timedelta(days=1), now + timedelta(days=1))
        make_enrolment(evse, crimson, now + timedelta(days=1))

        assert EvseIdentity.objects.for_tenant(blue).get().evse == evse
        assert not EvseIdentity.objects.for_tenant(amber).exists()
        assert not EvseIdentity.objects.for_tenant(crimson).exists()

    def test_tells_nobody_who_an_evse_is_that_left(self):
        amber = make_organisation("amber")
        make_evse("home", dsrsp=amber, enrolled_to=timezone.now())

        assert EVSE.objects.for_tenant(amber).exists()
        assert not EvseIdentity.objects.for_tenant(amber).exists()

    def test_asks_of_one_enrolment_that_it_is_theirs_and_in_force(self):
        """Amber's own is over, and another's is in force: two facts of two enrolments."""
        amber, blue = make_organisation("amber"), make_organisation("blue")
        evse = make_evse("home", dsrsp=amber, enrolled_to=datetime(2026, 1, 10, tzinfo=UTC))
        make_enrolment(evse, blue, datetime(2026, 1, 10, tzinfo=UTC))

        assert not EvseIdentity.objects.for_tenant(amber).exists()
        assert EvseIdentity.objects.for_tenant(blue).exists()

    def test_returns_an_evse_once_however_often_it_came_back(self):
        amber = make_organisation("amber")
        evse = make_evse("home", dsrsp=amber, enrolled_to=datetime(2020, 1, 1, tzinfo=UTC))
        make_enrolment(evse, amber, datetime(2021, 1, 1, tzinfo=UTC))

        assert EVSE.objects.for_tenant(amber).count() == 1

    def test_gives_a_stranger_nothing(self):
        evse = make_evse()
        make_meter("m", organisation=evse.meter.organisation)
        stranger = make_organisation("stranger")
        for model in TENANT_MODELS:
            assert not model._default_manager.for_tenant(stranger).exists()
        assert Meter.objects.across_tenants().count() == 2
        assert MeterDay.objects.across_tenants().count() == 0
