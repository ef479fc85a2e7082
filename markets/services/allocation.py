"""P375: register assets by settlement date, and build a day's file of delivered volumes once."""

import hashlib
import logging
from dataclasses import asdict, dataclass
from datetime import date, datetime

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import Q

from aggregator.arrays.findings import store_findings
from aggregator.core.digest import digest
from aggregator.core.errors import FlexError
from aggregator.core.findings import FindingNote
from aggregator.core.timegrid import settlement_day
from aggregator.models import Meter, Organisation
from aggregator.services.event_log import record_event
from aggregator.services.turns import take_turn
from markets.arrays.allocation import (
    FiledDay,
    load_filed_day,
    load_registrations,
    newest_files,
    pair_volumes,
    store_file,
)
from markets.core.allocation import Allocation, allocate
from markets.core.baseline import BaselineRule
from markets.core.baseline_methods import METHODS, history_rule
from markets.core.delivered_file import DeliveredFile, render_delivered_file
from markets.models import AssetRegistration, DeliveredVolumeFile, SecondaryUnit

logger = logging.getLogger(__name__)

BUILT = "delivered_file.built"  # in the event log


class RegistrationRefused(FlexError):
    code = "allocation.registration_refused"


class DayNotOver(FlexError):
    code = "allocation.day_not_over"


class NothingRegistered(FlexError):
    code = "allocation.nothing_registered"


class FileAltered(FlexError):
    code = "allocation.file_altered"


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What a firm states of an asset metering system; ids as in ``AssetRegistration``."""

    meter: str
    import_amsid: str
    import_msid: str
    bm_unit_id: str
    gsp_group_id: str
    supplier_id: str
    max_import_kw: float
    valid_from: date
    valid_to: date | None = None
    boundary_meter: str = ""
    export_amsid: str = ""
    export_msid: str = ""
    max_export_kw: float = 0.0


def bl01() -> BaselineRule:
    """The baseline volumes deviate from: BL01 of each asset, most recent days, adjusted in the day, signed."""
    return history_rule(METHODS["bl01"].rule)


def register_asset(*, organisation: Organisation, facts: AssetFacts, now: datetime) -> AssetRegistration:
    """Register an asset metering system from a settlement date on; the same facts again change nothing.

    A registration in force that a later one of the same AMSID or meter follows has to be ended first (``end_asset``).

    Raises:
        RegistrationRefused: a meter that is not the firm's or of another kind, a unit of another firm or GSP group, a
            boundary that other registrations put into another GSP group or with another meter or supplier on a day in
            common, or an asset that is registered on one of the days already.
    """
    with transaction.atomic():
        take_turn("register asset")
        meter = _meter(facts.meter, Meter.Kind.ASSET, organisation)
        boundary_meter = _meter(facts.boundary_meter, Meter.Kind.CUSTOMER, None) if facts.boundary_meter else None
        unit = _unit(organisation, facts)
        stated = {name: value for name, value in asdict(facts).items() if name not in _OF_OTHER_ROWS}
        wanted = {**stated, "unit": unit, "meter": meter, "boundary_meter": boundary_meter}
        known = AssetRegistration.objects.for_tenant(organisation).filter(**wanted).first()
        if known is not None:
            return known
        _check_boundary(facts, boundary_meter)
        registration = AssetRegistration(organisation=organisation, **wanted)
        try:
            with transaction.atomic():
                registration.save(force_insert=True)
        except IntegrityError as error:
            raise RegistrationRefused(
                f"{facts.import_amsid} at meter {facts.meter} from {facts.valid_from}: an asset is registered once a "
                "day, with ids of 13 digits, a positive span and export only by an export AMSID",
                import_amsid=facts.import_amsid,
            ) from error
        record_event(
            action="asset.registered",
            subject=f"asset {facts.import_amsid}",
            organisation=organisation,
            after=asdict(facts),
            at=now,
        )
    return registration


_OF_OTHER_ROWS = ("meter", "boundary_meter", "bm_unit_id", "gsp_group_id")


def end_asset(*, registration: AssetRegistration, valid_to: date, now: datetime) -> AssetRegistration:
    """End a registration with a settlement date; the first one it is no longer so is ``valid_to``.

    Raises:
        RegistrationRefused: a date that is not after its first, or one for which volumes were filed already.
    """
    filed = DeliveredVolumeFile.objects.for_tenant(registration.organisation)
    last = filed.filter(deviations__registration=registration).order_by("-settlement_date").first()
    if valid_to <= registration.valid_from or (last and last.settlement_date >= valid_to):
        raise RegistrationRefused(
            f"{registration.import_amsid} can end after {last.settlement_date if last else registration.valid_from}, "
            f"asked for {valid_to}",
            import_amsid=registration.import_amsid,
        )
    before = registration.valid_to
    with transaction.atomic():
        AssetRegistration.objects.for_tenant(registration.organisation).filter(pk=registration.pk).update(
            valid_to=valid_to
        )
        record_event(
            action="asset.ended",
            subject=f"asset {registration.import_amsid}",
            organisation=registration.organisation,
            before={"valid_to": before},
            after={"valid_to": valid_to},
            at=now,
        )
    registration.valid_to = valid_to
    return registration


def _meter(code: str, kind: str, owner: Organisation | None) -> Meter:
    meters = Meter.objects.for_tenant(owner) if owner else Meter.objects.across_tenants()
    meter = meters.filter(code=code, kind=kind).first()
    if meter is None:
        of_whom = f" of {owner.code}" if owner else ""
        raise RegistrationRefused(f"meter {code}: there is no {kind} meter{of_whom} of this code", meter=code)
    return meter


def _unit(organisation: Organisation, facts: AssetFacts) -> SecondaryUnit:
    known = SecondaryUnit.objects.across_tenants().filter(bm_unit_id=facts.bm_unit_id).first()
    if known is None:
        known = SecondaryUnit(organisation=organisation, bm_unit_id=facts.bm_unit_id, gsp_group_id=facts.gsp_group_id)
        try:
            with transaction.atomic():
                known.save(force_insert=True)
        except IntegrityError as error:
            raise RegistrationRefused(
                f"unit {facts.bm_unit_id!r} in GSP group {facts.gsp_group_id!r}: expected up to 11 of A-Z, 0-9, _ "
                "and -, and a group from _A to _P",
                bm_unit_id=facts.bm_unit_id,
            ) from error
    if known.organisation_id != organisation.pk or known.gsp_group_id != facts.gsp_group_id:
        raise RegistrationRefused(
            f"unit {facts.bm_unit_id} is another firm's or in another GSP group than {facts.gsp_group_id}",
            bm_unit_id=facts.bm_unit_id,
        )
    return known


def _check_boundary(facts: AssetFacts, boundary_meter: Meter | None) -> None:
    """A site has one GSP group, supplier and boundary meter a day, however many firms act there."""
    in_common = Q(valid_to__isnull=True) | Q(valid_to__gt=facts.valid_from)
    if facts.valid_to is not None:
        in_common &= Q(valid_from__lt=facts.valid_to)
    same = {"unit__gsp_group_id": facts.gsp_group_id, "supplier_id": facts.supplier_id}
    there = AssetRegistration.objects.across_tenants().filter(in_common, import_msid=facts.import_msid)
    other_meter = Q(boundary_meter__isnull=False) & ~Q(boundary_meter=boundary_meter) if boundary_meter else Q(pk=None)
    if there.exclude(**same).exists() or there.filter(other_meter).exists():
        raise RegistrationRefused(
            f"boundary {facts.import_msid} stands in another GSP group, with another supplier or another meter on some "
            f"of the days from {facts.valid_from}",
            import_msid=facts.import_msid,
        )


def build_delivered_file(*, organisation: Organisation, day: date, as_of: datetime) -> DeliveredVolumeFile:
    """Work out a firm's volumes of one settlement date and store them with their file.

    The same inputs again give the file there is, byte for byte; others give one of the next sequence that supersedes
    it.

    Raises:
        DayNotOver: ``as_of`` is before the settlement date's end.
        NothingRegistered: the firm has no asset registered that day.
    """
    if as_of < settlement_day(day).ends_at:
        raise DayNotOver(f"settlement date {day} is not over at {as_of.isoformat()}", settlement_date=day.isoformat())
    registrations = load_registrations(organisation=organisation, day=day)
    if not registrations:
        raise NothingRegistered(
            f"{organisation.code} has no asset metering system registered on {day}", settlement_date=day.isoformat()
        )
    built = work_out_day(organisation=organisation, day=day, registrations=registrations, as_of=as_of)
    filed_day, allocation = built.filed_day, built.allocation
    with transaction.atomic():
        take_turn("delivered file", organisation.pk)
        newest, last = newest_files(organisation=organisation, day=day)
        if newest is not None and (newest.input_sha256 == built.input_sha256 or as_of < newest.as_of):
            return newest
        row = file_row(organisation=organisation, day=day, sequence=last + 1, as_of=as_of, built=built)
        row.supersedes = newest
        file = store_file(file=row, day=filed_day, allocation=allocation)
        notes = _notes(filed_day, allocation)
        store_findings(notes=notes, source=f"delivered:{file.pk}", noticed_at=as_of, organisation=organisation)
        record_event(
            action=BUILT,
            subject=f"delivered volumes of {day}, file {file.sequence}",
            organisation=organisation,
            before={"sequence": newest.sequence, "sha256": newest.sha256} if newest else None,
            after={"sequence": file.sequence, "sha256": file.sha256, "total_mwh": file.total_mwh},
            at=as_of,
        )
    logger.info(
        "read %d assets of %s on %s as of %s; wrote file %d: %s MWh in %d volumes, %s kWh left out by rounding",
        len(registrations),
        organisation.code,
        day,
        as_of.isoformat(),
        file.sequence,
        file.total_mwh,
        file.n_volume,
        file.residual_kwh,
    )
    return file


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """A settlement date's volumes, and the digest of what they were worked out from."""

    filed_day: FiledDay
    allocation: Allocation
    input_sha256: str


def work_out_day(
    *, organisation: Organisation, day: date, registrations: tuple[AssetRegistration, ...], as_of: datetime
) -> BuiltDay:
    """Work out a firm's volumes of a settlement date as known at a time; nothing is stored."""
    rule = bl01()
    filed_day = load_filed_day(organisation=organisation, day=day, registrations=registrations, rule=rule, as_of=as_of)
    return BuiltDay(filed_day, allocate(filed_day.energy), _input_sha256(filed_day, rule, day))


def file_row(
    *, organisation: Organisation, day: date, sequence: int, as_of: datetime, built: BuiltDay
) -> DeliveredVolumeFile:
    """The row of a file with its bytes, not stored."""
    told = DeliveredFile(day, organisation.code, sequence, pair_volumes(built.filed_day, built.allocation))
    content = render_delivered_file(told)
    return DeliveredVolumeFile(
        organisation=organisation,
        settlement_date=day,
        sequence=sequence,
        as_of=as_of,
        input_sha256=built.input_sha256,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        n_volume=sum(len(pair.volumes) for pair in told.pairs),
        total_mwh=told.total_mwh,
        residual_kwh=built.allocation.residual_kwh,
    )


def published_bytes(file: DeliveredVolumeFile) -> bytes:
    """A file's bytes as they were built; sending it again is sending these.

    Raises:
        FileAltered: the stored bytes are not those that were built.
    """
    content = bytes(file.content)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise FileAltered(f"file {file.sequence} is not what was built", file=file.pk)
    return content


def _input_sha256(day: FiledDay, rule: BaselineRule, settlement_date: date) -> str:
    energy = day.energy
    told = [
        f"{one.import_amsid}|{one.export_amsid}|{one.import_msid}|{one.export_msid}|{one.unit}|{one.supplier_id}"
        for one in day.registrations
    ]
    return digest(
        "delivered-file-1",
        settlement_date.isoformat(),
        repr(rule),
        "\n".join(told),
        energy.metered_kwh,
        energy.baseline_kwh,
        energy.boundary_kwh,
        energy.max_import_kw,
        energy.max_export_kw,
        day.called,
    )


def _notes(day: FiledDay, allocation: Allocation) -> list[FindingNote]:
    """Volumes that were reduced or lost, one finding an asset."""
    notes = []
    is_lost = np.isnan(allocation.filed_mwh) & day.called
    for asset, one in enumerate(day.registrations):
        for code, counts, what in (
            ("allocation.limited", allocation.is_limited[asset], "were reduced to what its meter supports"),
            ("allocation.no_volume", is_lost[asset], "have no volume: a read or a baseline is missing"),
        ):
            if counts.any():
                message = f"{int(counts.sum())} periods of asset {one.import_amsid} {what}"
                notes.append(FindingNote(code, one.import_amsid, message, details={"n_period": int(counts.sum())}))
    return notes
