"""Files of EVSEs brought to the browser: kept for a day, looked at, and registered once when their bringer says so."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from aggregator.core.errors import FlexError
from aggregator.core.registration import Registration, RowError
from aggregator.models import FleetUpload, Organisation, as_platform
from aggregator.services.fleet_checks import load_known
from aggregator.services.own_fleet import RowKind, check_own_registrations, register_own_fleet, row_kinds
from aggregator.services.turns import take_turn

KEPT_FOR = timedelta(days=1)
KEPT_EACH = 5  # waiting files a person may have
LONGEST_NAME = 300


class UploadRefused(FlexError):
    code = "fleet.upload_refused"


class UnknownUpload(FlexError):
    code = "fleet.unknown_upload"


@dataclass(frozen=True, slots=True)
class UploadPreview:
    """What registering an upload would do.

    Attributes:
        kinds: what it would do with each readable row, by line.
        n_by_kind: how many rows of each kind.
        errors: what stands in the way, by line; empty where it could be registered now.
    """

    kinds: dict[int, RowKind]
    n_by_kind: dict[RowKind, int]
    errors: tuple[RowError, ...]


def store_upload(
    *, organisation: Organisation, user_pk: int, file_name: str, content: bytes, max_bytes: int, now: datetime
) -> FleetUpload:
    """Keep a file until it is registered or a day has passed; a person's oldest waiting files give way to new ones.

    Raises:
        UploadRefused: an empty file, or one of more than ``max_bytes``.
    """
    name = file_name.replace("\x00", "")[-LONGEST_NAME:] or "upload.csv"
    if not content:
        raise UploadRefused(f"{name} is empty", name=name)
    if len(content) > max_bytes:
        raise UploadRefused(f"{name} has {len(content):,} bytes, at most {max_bytes:,} are taken", name=name)
    with transaction.atomic():
        take_turn("fleet uploads", organisation.pk)
        drop_stale_uploads(organisation=organisation, now=now)
        waiting = waiting_uploads(organisation=organisation, user_pk=user_pk)
        _drop(waiting.values_list("pk", flat=True)[KEPT_EACH - 1 :])
        upload = FleetUpload(
            organisation=organisation,
            uploaded_by_id=user_pk,
            file_name=name,
            content=content,
            sha256=hashlib.sha256(content).hexdigest(),
            uploaded_at=now,
        )
        upload.save()
    return upload


def waiting_uploads(*, organisation: Organisation, user_pk: int) -> QuerySet[FleetUpload]:
    """A person's own files that are not registered yet, newest first, without their content."""
    own = FleetUpload.objects.for_tenant(organisation).filter(uploaded_by=user_pk, batch=None)
    return own.defer("content").order_by("-uploaded_at", "-pk")


def drop_stale_uploads(*, organisation: Organisation, now: datetime) -> int:
    """Drop an organisation's files that waited for longer than a day; say how many."""
    stale = FleetUpload.objects.for_tenant(organisation).filter(batch=None, uploaded_at__lt=now - KEPT_FOR)
    return _drop(stale.values_list("pk", flat=True))


def drop_upload(*, upload_pk: int, organisation: Organisation, user_pk: int) -> bool:
    """Drop one's own file, and say whether there was one; a file that was registered stays."""
    waiting = waiting_uploads(organisation=organisation, user_pk=user_pk)
    return _drop(waiting.filter(pk=upload_pk).values_list("pk", flat=True)) > 0


def _drop(pks: Iterable[int]) -> int:
    """Delete uploads found within a tenant: rows made distinct can't be deleted as they are."""
    return FleetUpload.objects.across_tenants().filter(pk__in=list(pks), batch=None).delete()[0]


def find_upload(*, upload_pk: int, organisation: Organisation, user_pk: int) -> FleetUpload:
    """One's own upload.

    Raises:
        UnknownUpload: there is none, or it is another person's or organisation's.
    """
    own = FleetUpload.objects.for_tenant(organisation).filter(uploaded_by=user_pk).select_related("batch")
    upload = own.filter(pk=upload_pk).first()
    if upload is None:
        raise UnknownUpload(f"no upload {upload_pk} of yours is kept", upload=upload_pk)
    return upload


def describe_upload(*, organisation: Organisation, rows: tuple[Registration, ...], now: datetime) -> UploadPreview:
    """Say what registering these rows for this organisation would do, and what stands in the way."""
    with as_platform():
        known = load_known(rows)
    kinds = row_kinds(organisation=organisation, rows=rows, now=now, known=known)
    errors = check_own_registrations(organisation=organisation, rows=rows, now=now, known=known)
    return UploadPreview(kinds, dict(Counter(kinds.values())), errors)


def commit_upload(
    *, upload_pk: int, organisation: Organisation, user_pk: int, rows: tuple[Registration, ...], now: datetime
) -> FleetUpload:
    """Register an upload's EVSEs, once: asked again, whatever was registered stays and nothing is changed.

    Args:
        rows: everything the upload's file states.

    Raises:
        UnknownUpload: see ``find_upload``.
        RegistrationRefused: with every error of every row; nothing is registered.
    """
    with transaction.atomic():
        take_turn("fleet upload", upload_pk)
        upload = find_upload(upload_pk=upload_pk, organisation=organisation, user_pk=user_pk)
        if upload.batch is not None:
            return upload
        result = register_own_fleet(
            organisation=organisation, rows=rows, source=upload.file_name, sha256=upload.sha256, now=now
        )
        upload.batch = result.batch
        upload.save(update_fields=["batch"])
    return upload
