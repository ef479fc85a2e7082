"""Work filed volumes (P375) out again from the readings, and find whatever is not as it was filed."""

from collections.abc import Iterable, Iterator

from django.db.models import Model

from aggregator.core.errors import FlexError
from aggregator.models import Event
from markets.arrays.allocation import boundary_rows, deviation_rows, load_registrations
from markets.models import BoundaryVolume, DeliveredVolumeFile, DeviationVolume
from markets.services.allocation import BUILT, file_row, work_out_day
from markets.services.verified import Difference

OF_FILE = ("input_sha256", "sha256", "n_volume", "total_mwh", "residual_kwh")
OF_DEVIATION = ("organisation_id", "baseline_kwh", "metered_kwh", "deviation_kwh", "filed_mwh", "is_limited")
OF_BOUNDARY = ("organisation_id", "supplier_id", "metered_kwh", "secondary_kwh", "supplier_kwh")


def verify_files() -> tuple[int, list[Difference]]:
    """How many files of volumes there are, every difference of each, and what is gone."""
    files = DeliveredVolumeFile.objects.across_tenants().select_related("organisation", "supersedes")
    found = list(files.order_by("organisation", "sequence"))
    return len(found), [*(one for file in found for one in _file(file)), *_gone(found)]


def _file(file: DeliveredVolumeFile) -> Iterator[Difference]:
    name, day = _named(file), file.settlement_date
    try:
        built = work_out_day(
            organisation=file.organisation,
            day=day,
            registrations=load_registrations(organisation=file.organisation, day=day),
            as_of=file.as_of,
        )
        again = file_row(organisation=file.organisation, day=day, sequence=file.sequence, as_of=file.as_of, built=built)
    except FlexError as error:
        yield Difference(name, "whole", "file", "filed", f"cannot be worked out: {error.message}")
        return
    yield from _figures(name, "whole", OF_FILE, file, again)
    if bytes(file.content) != bytes(again.content):
        yield Difference(name, "whole", "content", "filed", "other bytes")
    yield from _beside(file)
    deviations = DeviationVolume.objects.across_tenants().filter(file=file)
    yield from _rows(
        name,
        ("registration_id", "period"),
        OF_DEVIATION,
        deviations,
        deviation_rows(file, built.filed_day, built.allocation),
    )
    boundaries = BoundaryVolume.objects.across_tenants().filter(file=file)
    yield from _rows(
        name,
        ("import_msid", "period"),
        OF_BOUNDARY,
        boundaries,
        boundary_rows(file, built.filed_day, built.allocation),
    )


def _beside(file: DeliveredVolumeFile) -> Iterator[Difference]:
    """What a file says of itself and its volumes do not: the event log kept when it was built, and of what."""
    own = DeliveredVolumeFile.objects.across_tenants().filter(organisation=file.organisation_id)
    earlier = own.filter(settlement_date=file.settlement_date, sequence__lt=file.sequence).order_by("-sequence")
    before = earlier.values_list("pk", flat=True).first()
    if file.supersedes_id != before:
        yield Difference(_named(file), "whole", "supersedes", str(file.supersedes_id), str(before))
    told = Event.objects.across_tenants().filter(
        action=BUILT, organisation=file.organisation_id, at=file.as_of, after__sha256=file.sha256
    )
    if not told.exists():
        yield Difference(_named(file), "whole", "as_of", file.as_of.isoformat(), "the event log knows of no such file")


def _rows(
    name: str, key: tuple[str, str], figures: tuple[str, ...], stored: Iterable[Model], again: Iterable[Model]
) -> Iterator[Difference]:
    left: dict[tuple[object, ...], Model] = {}
    for row in stored:
        place = tuple(getattr(row, part) for part in key)
        if place in left:
            yield Difference(name, _place(key, place), "volume", "filed twice", "filed once")
        left[place] = row
    for made in again:
        place = tuple(getattr(made, part) for part in key)
        before = left.pop(place, None)
        if before is None:
            yield Difference(name, _place(key, place), "volume", "nothing", "filed")
        else:
            yield from _figures(name, _place(key, place), figures, before, made)
    for place in left:
        yield Difference(name, _place(key, place), "volume", "filed", "nothing")


def _place(key: tuple[str, str], place: tuple[object, ...]) -> str:
    return " ".join(f"{part.removesuffix('_id')} {value}" for part, value in zip(key, place, strict=True))


def _figures(name: str, line: str, figures: tuple[str, ...], stored: Model, again: Model) -> Iterator[Difference]:
    for figure in figures:
        before, now = getattr(stored, figure), getattr(again, figure)
        if before != now:
            yield Difference(name, line, figure, str(before), str(now))


def _gone(found: list[DeliveredVolumeFile]) -> Iterator[Difference]:
    """Sequences that are missing before a firm's last, and volumes of which the file is gone."""
    for before, after in zip([None, *found], found, strict=False):
        is_first = before is None or before.organisation_id != after.organisation_id
        first = 1 if before is None or is_first else before.sequence + 1
        for sequence in range(first, after.sequence):
            yield Difference(f"file {sequence} of {after.organisation.code}", "whole", "file", "nothing", "filed")
    there = {file.pk for file in found}
    volumes = {
        *DeviationVolume.objects.across_tenants().values_list("file_id", flat=True).distinct(),
        *BoundaryVolume.objects.across_tenants().values_list("file_id", flat=True).distinct(),
    }
    for pk in sorted(volumes - there):
        yield Difference(f"file of volumes {pk}", "whole", "file", "nothing", "there are volumes of it")


def _named(file: DeliveredVolumeFile) -> str:
    return f"file {file.pk} of {file.organisation.code} ({file})"
