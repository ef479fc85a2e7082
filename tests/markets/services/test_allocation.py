"""A day's delivered volumes from rows to a file, worked by hand on the small street."""

from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction

from aggregator.core.meter_energy import ReadingValues
from aggregator.core.timegrid import charging_day, settlement_day, utc
from aggregator.models import Finding
from aggregator.services.ingest_readings import ingest_readings
from dispatch.services.delivery import deliver_day
from markets.core.delivered_file import parse_delivered_file
from markets.models import AssetRegistration, BoundaryVolume, DeliveredVolumeFile, DeviationVolume
from markets.services.allocation import (
    AssetFacts,
    DayNotOver,
    NothingRegistered,
    RegistrationRefused,
    build_delivered_file,
    end_asset,
    register_asset,
)
from markets.services.settlement import instruct_event
from markets.volume_policies import FILED
from tests.factories import make_meter, make_organisation
from tests.markets.services.test_settlement import dispatch
from tests.walks.small_area import SmallArea, call, make_small_area

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 15)
STARTS_AT = utc(DAY, time(17))
AS_OF = charging_day(DAY).ends_at + timedelta(hours=2)
LATER = charging_day(DAY).ends_at + timedelta(days=5)
FIRST_PERIOD = 35  # 17:00 London in January
MSIDS = ("1012345678901", "1012345678902")
# Amber's first home plugs in at 17:00 for 6 kWh, its second at 17:10 for 8, both at 7.36 kW; nothing was drawn.
BASELINES_KWH = ([3.68, 2.32, 0.0, 0.0], [7.36 / 3, 3.68, 8 - 3.68 - 7.36 / 3, 0.0])
VOLUMES_MWH = [
    (1, [Decimal("0.0037"), Decimal("0.0023"), Decimal(0), Decimal(0)]),
    (2, [Decimal("0.0025"), Decimal("0.0037"), Decimal("0.0019"), Decimal(0)]),
]


def facts(area: SmallArea, home: int, **changes) -> AssetFacts:
    told = AssetFacts(
        meter=area.evses[home].meter.code,
        import_amsid=f"70123456789{home:02d}",
        import_msid=MSIDS[0],
        bm_unit_id="V__AAMBER01",
        gsp_group_id="_A",
        supplier_id="SUPPLYCO",
        max_import_kw=7.36,
        valid_from=date(2025, 12, 1),
    )
    return replace(told, **changes)


def boundary_read(area: SmallArea, code: str, kwh: list[float]) -> None:
    """A boundary's readings in the event's four half-hours."""
    starts = np.datetime64(STARTS_AT.replace(tzinfo=None), "s") + np.arange(4) * np.timedelta64(1800, "s")
    meter = make_meter(code, "customer", organisation=area.dno)
    ingest_readings(
        organisation=area.dno,
        source=code,
        sha256=code.encode().hex().ljust(64, "0")[:64],
        received_at=AS_OF,
        values=ReadingValues(np.full(4, meter.pk), starts, np.array(kwh)),
    )


@pytest.fixture
def area() -> SmallArea:
    """The street, called from 17:00 to 19:00 and quiet; two of amber's homes are registered, each at its own site."""
    street = make_small_area(DAY)
    event = call(street, STARTS_AT, utc(DAY, time(19)))
    run = dispatch(street)
    instruct_event(event=event, run=run)
    deliver_day(run=run, as_of=LATER)
    boundary_read(street, "boundary-0", [4.1, 1.0, 0.5, 0.25])
    register_asset(organisation=street.dsrsps[0], facts=facts(street, 0, boundary_meter="boundary-0"), now=AS_OF)
    register_asset(organisation=street.dsrsps[0], facts=facts(street, 2, import_msid=MSIDS[1]), now=AS_OF)
    return street


def build(area: SmallArea, as_of=AS_OF, day: date = DAY) -> DeliveredVolumeFile:
    return build_delivered_file(organisation=area.dsrsps[0], day=day, as_of=as_of)


def rows(model, file: DeliveredVolumeFile):
    return model.objects.across_tenants().filter(file=file)


class TestBuildDeliveredFile:
    def test_files_what_each_asset_did_not_draw(self, area):
        file = build(area)

        found = parse_delivered_file(bytes(file.content))
        assert (found.settlement_date, found.sender, found.sequence) == (DAY, "amber", 1)
        periods = range(FIRST_PERIOD, FIRST_PERIOD + 4)
        assert [(pair.import_msid, pair.import_amsid, pair.volumes) for pair in found.pairs] == [
            (MSIDS[site - 1], f"70123456789{(site - 1) * 2:02d}", tuple(zip(periods, volumes, strict=True)))
            for site, volumes in VOLUMES_MWH
        ]
        assert file.total_mwh == Decimal("0.0141")
        exact = round(sum(sum(one) for one in np.round(BASELINES_KWH, 4).tolist()), 4)
        assert file.residual_kwh == Decimal(str(exact)) - Decimal("14.1")

    def test_settles_the_supplier_as_if_the_asset_had_kept_to_its_baseline(self, area):
        file = build(area)

        first = rows(BoundaryVolume, file).filter(import_msid=MSIDS[0]).order_by("period")
        told = [(row.metered_kwh, row.secondary_kwh, row.supplier_kwh) for row in first]
        assert told[0] == (Decimal("-4.1"), Decimal("3.7"), Decimal("-7.8"))
        assert all(metered == secondary + supplier for metered, secondary, supplier in told)
        unread = rows(BoundaryVolume, file).filter(import_msid=MSIDS[1])
        assert {(row.metered_kwh, row.supplier_kwh) for row in unread} == {(None, None)}

    def test_gives_the_same_file_again_byte_for_byte(self, area):
        file = build(area)

        again = build(area, as_of=LATER)
        assert (again.pk, bytes(again.content)) == (file.pk, bytes(file.content))
        assert rows(DeviationVolume, file).count() == 8

    def test_makes_a_file_of_the_next_sequence_of_a_correction(self, area):
        file = build(area)
        meter = area.evses[0].meter
        ingest_readings(
            organisation=meter.organisation,
            source="late",
            sha256="9" * 64,
            received_at=AS_OF + timedelta(hours=1),
            values=ReadingValues(
                np.array([meter.pk]), np.array([STARTS_AT.replace(tzinfo=None)], "datetime64[s]"), np.array([0.58])
            ),
        )
        assert build(area).pk == file.pk
        later = build(area, as_of=LATER)

        assert (later.sequence, later.supersedes_id) == (2, file.pk)
        assert parse_delivered_file(bytes(later.content)).pairs[0].volumes[0] == (FIRST_PERIOD, Decimal("0.0031"))
        assert build(area, as_of=AS_OF).pk == later.pk

    def test_loses_the_volume_of_a_missing_read_and_says_so(self, area):
        """The meter of a third home was never read on the day."""
        register_asset(
            organisation=area.dsrsps[0],
            facts=facts(area, 4, meter=make_meter("mute", "asset", organisation=area.dsrsps[0]).code),
            now=AS_OF,
        )
        file = build(area)

        assert file.n_volume == 8
        (note,) = Finding.objects.across_tenants().filter(source=f"delivered:{file.pk}")
        assert (note.code, note.subject, note.details) == ("allocation.no_volume", "7012345678904", {"n_period": 4})

    def test_limits_a_volume_to_what_the_meter_supports(self, area):
        registration = AssetRegistration.objects.across_tenants().get(import_amsid="7012345678900")
        end_asset(registration=registration, valid_to=DAY, now=AS_OF)
        small = facts(area, 0, boundary_meter="boundary-0", max_import_kw=3.0, valid_from=DAY)
        register_asset(organisation=area.dsrsps[0], facts=small, now=AS_OF)
        file = build(area)

        limited = rows(DeviationVolume, file).filter(is_limited=True).order_by("period")
        assert [(row.period, row.deviation_kwh) for row in limited] == [
            (FIRST_PERIOD, Decimal("1.5")),
            (FIRST_PERIOD + 1, Decimal("1.5")),
        ]
        assert [
            (row.code, row.details) for row in Finding.objects.across_tenants().filter(source=f"delivered:{file.pk}")
        ] == [("allocation.limited", {"n_period": 2})]

    def test_knows_no_volume_on_a_day_without_a_call(self, area):
        file = build(area, day=DAY - timedelta(days=1))

        assert (file.n_volume, file.total_mwh) == (0, 0)
        assert not rows(BoundaryVolume, file).exists()

    def test_refuses_a_day_that_is_not_over_and_a_firm_without_assets(self, area):
        with pytest.raises(DayNotOver):
            build(area, as_of=settlement_day(DAY).ends_at - timedelta(seconds=1))
        with pytest.raises(NothingRegistered):
            build_delivered_file(organisation=area.dsrsps[1], day=DAY, as_of=AS_OF)
        with pytest.raises(NothingRegistered):
            build(area, day=date(2025, 11, 30))

    @pytest.mark.parametrize("table", FILED)
    @pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET organisation_id = organisation_id"])
    def test_is_never_changed_or_removed(self, area, table, act):
        build(area)
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(act.format(table))


class TestRegisterAsset:
    def test_changes_nothing_when_it_is_asked_again(self, area):
        again = register_asset(
            organisation=area.dsrsps[0], facts=facts(area, 0, boundary_meter="boundary-0"), now=LATER
        )
        assert AssetRegistration.objects.across_tenants().count() == 2
        assert again.valid_to is None

    def test_lets_several_firms_act_at_one_site(self, area):
        other = register_asset(organisation=area.dsrsps[1], facts=facts(area, 1, bm_unit_id="V__ABLUE001"), now=AS_OF)
        assert other.import_msid == MSIDS[0]
        (mine,) = {row.organisation_id for row in rows(BoundaryVolume, build(area))}
        assert mine == area.dsrsps[0].pk

    @pytest.mark.parametrize(
        ("home", "change", "said"),
        [
            (4, {"import_amsid": "7012345678900"}, "once a day"),
            (0, {"import_amsid": "7012345678999"}, "once a day"),
            (4, {"meter": "home-1-meter"}, "no asset meter of amber"),
            (4, {"boundary_meter": "home-1-meter"}, "no customer meter"),
            (4, {"gsp_group_id": "_B"}, "another GSP group"),
            (4, {"gsp_group_id": "_B", "bm_unit_id": "V__BAMBER01"}, "another GSP group"),
            (4, {"supplier_id": "OTHERCO"}, "another supplier"),
            (4, {"import_amsid": "12"}, "13 digits"),
            (4, {"max_export_kw": 3.0}, "export AMSID"),
            (4, {"valid_to": date(2025, 12, 1)}, "positive span"),
            (4, {"bm_unit_id": "unit"}, "A-Z"),
        ],
    )
    def test_refuses_what_cannot_be(self, area, home, change, said):
        with pytest.raises(RegistrationRefused, match=said):
            register_asset(organisation=area.dsrsps[0], facts=facts(area, home, **change), now=AS_OF)
        assert AssetRegistration.objects.across_tenants().count() == 2

    def test_refuses_the_unit_of_another_firm(self, area):
        with pytest.raises(RegistrationRefused, match="another firm"):
            register_asset(organisation=area.dsrsps[1], facts=facts(area, 1), now=AS_OF)

    def test_follows_one_that_was_ended_by_settlement_date(self, area):
        old = AssetRegistration.objects.across_tenants().get(import_amsid="7012345678902")
        end_asset(registration=old, valid_to=DAY, now=AS_OF)
        new = facts(area, 2, import_msid=MSIDS[1], supplier_id="OTHERCO", valid_from=DAY)
        register_asset(organisation=area.dsrsps[0], facts=new, now=AS_OF)

        volumes = rows(BoundaryVolume, build(area)).filter(import_msid=MSIDS[1])
        assert {row.supplier_id for row in volumes} == {"OTHERCO"}
        assert build(area, day=DAY - timedelta(days=1)).n_volume == 0

    def test_may_not_be_ended_before_what_was_filed(self, area):
        build(area)
        old = AssetRegistration.objects.across_tenants().get(import_amsid="7012345678902")
        for day in (DAY, old.valid_from):
            with pytest.raises(RegistrationRefused):
                end_asset(registration=old, valid_to=day, now=AS_OF)
        assert end_asset(registration=old, valid_to=DAY + timedelta(days=1), now=AS_OF).valid_to


class TestCommands:
    def test_builds_and_writes_the_bytes_again(self, area, tmp_path, capsys):
        paths = [tmp_path / "first.txt", tmp_path / "second.txt"]
        for path in paths:
            call_command(
                "build_delivered_volumes", "amber", DAY.isoformat(), "--as-of", AS_OF.isoformat(), "--out", path
            )
        assert paths[0].read_bytes() == paths[1].read_bytes() == bytes(build(area).content)
        assert "file 1 of amber: 8 volumes, 0.0141 MWh" in capsys.readouterr().out

    def test_registers_an_asset(self, area, capsys):
        make_organisation("amber")
        told = {
            "meter": area.evses[4].meter.code,
            "import-amsid": "7012345678904",
            "import-msid": MSIDS[0],
            "bm-unit-id": "V__AAMBER01",
            "gsp-group-id": "_A",
            "supplier-id": "SUPPLYCO",
            "max-import-kw": "7.36",
            "valid-from": "2026-01-01",
        }
        call_command("register_asset", "amber", *(f"--{name}={value}" for name, value in told.items()))
        assert "7012345678904 behind 1012345678901 from 2026-01-01 in V__AAMBER01" in capsys.readouterr().out
