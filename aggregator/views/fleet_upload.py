"""Registering a fleet from a file in the browser: choose, look, correct, confirm, see what became of it."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.adapters.evse_files import COLUMNS
from aggregator.adapters.fleet_upload_files import FleetFile, read_fleet_file, template_file
from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.registration import Registration, RowError
from aggregator.core.upload_problems import Problem, group_problems
from aggregator.models import Enrolment, FleetUpload
from aggregator.queries import csms_seen_by, findings_seen_by
from aggregator.services.fleet_uploads import (
    KEPT_EACH,
    KEPT_FOR,
    UnknownUpload,
    UploadPreview,
    UploadRefused,
    commit_upload,
    describe_upload,
    drop_upload,
    find_upload,
    store_upload,
    waiting_uploads,
)
from aggregator.site.confirm import ConfirmedMixin
from aggregator.site.csv_answer import csv_answer
from aggregator.site.upload_cap import MAX_BYTES, was_cut
from aggregator.site.views import PageView

SHOWN_ROWS = 20
SHOWN_PROBLEMS = 1_000
SHOWN_FINDINGS = 200


class RegisterFleet(PageView):
    """Choose a file; one's own files that wait are listed."""

    action = Action.REGISTER_FLEET

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._form()

    def post(self, request: HttpRequest) -> HttpResponse:
        chosen = request.FILES.get("file")
        if was_cut(request):
            return self._form(f"The file has more than {MAX_BYTES:,} bytes, the most that is taken. Split it.")
        if not isinstance(chosen, UploadedFile):
            return self._form("No file was chosen.")
        try:
            upload = store_upload(
                organisation=self.viewer.organisation,
                user_pk=person_pk(self),
                file_name=chosen.name or "",
                content=chosen.read(),
                max_bytes=MAX_BYTES,
                now=timezone.now(),
            )
        except UploadRefused as error:
            return self._form(error.message)
        return redirect("aggregator:fleet_upload", upload=upload.pk)

    def _form(self, error: str = "") -> HttpResponse:
        waiting = waiting_uploads(organisation=self.viewer.organisation, user_pk=person_pk(self))
        context = {
            "error": error,
            "waiting": list(waiting.values("pk", "file_name", "uploaded_at")),
            "max_mb": MAX_BYTES // 2**20,
            "kept_h": int(KEPT_FOR.total_seconds() // 3600),
            "kept_each": KEPT_EACH,
            "columns": [
                {"name": column.name, "is_needed": column.required, "expected": column.expected} for column in COLUMNS
            ],
            "csmses": list(csms_seen_by(self.viewer.organisation).order_by("code").values_list("code", flat=True)),
        }
        return self.page("aggregator/fleet_register.html", context, status=400 if error else 200)


class FleetUploadPage(ConfirmedMixin):
    """What a file would do, and with a POST doing it; once done, what it did."""

    action = Action.REGISTER_FLEET
    confirmed_methods = ("POST",)

    def get(self, request: HttpRequest, upload: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = own_upload(self, upload)
        if found.batch is not None:
            return self.page("aggregator/fleet_registered.html", self._result(found))
        return self._preview(found)

    def post(self, request: HttpRequest, upload: int) -> HttpResponse:
        found = own_upload(self, upload)
        file = read_fleet_file(bytes(found.content), found.file_name)
        if found.batch is None and (file.refused or file.errors):
            return self._preview(found, status=409)
        try:
            commit_upload(
                upload_pk=upload,
                organisation=self.viewer.organisation,
                user_pk=person_pk(self),
                rows=file.rows,
                now=timezone.now(),
            )
        except FlexError as error:
            messages.error(request, f"Nothing was registered: {error.message}")
            return self._preview(found, status=409)
        return redirect("aggregator:fleet_upload", upload=upload)

    def _preview(self, upload: FleetUpload, status: int = 200) -> HttpResponse:
        now = timezone.now()
        file = read_fleet_file(bytes(upload.content), upload.file_name)
        preview = describe_upload(organisation=self.viewer.organisation, rows=file.rows, now=now)
        problems = problems_of(file, preview)
        context = {
            "upload": facts_of(upload),
            "file": {"refused": file.refused, "ignored": file.ignored, "n_row": file.n_row},
            "n_by_kind": preview.n_by_kind,
            "n_problem": len(problems),
            "groups": group_problems(problems[:SHOWN_PROBLEMS]),
            "n_shown": min(len(problems), SHOWN_PROBLEMS),
            "can_register": bool(file.rows) and not problems and not file.refused,
            "rows": [_shown(row, preview) for row in file.rows[:SHOWN_ROWS]],
        }
        return self.page("aggregator/fleet_upload.html", context, status=status)

    def _result(self, upload: FleetUpload) -> dict[str, Any]:
        batch = upload.batch
        source = f"batch:{batch.pk}" if batch else ""
        findings = findings_seen_by(self.viewer.organisation).filter(source=source).order_by("pk")
        enrolled = Enrolment.objects.for_tenant(self.viewer.organisation).count()
        return {
            "upload": facts_of(upload),
            "counts": batch.counts if batch else {},
            "received_at": batch.received_at if batch else None,
            "findings": list(findings.values("severity", "code", "subject", "message")[:SHOWN_FINDINGS]),
            "n_enrolled": enrolled,
        }


class FleetUploadErrors(PageView):
    """Everything wrong with a file, as a file."""

    action = Action.REGISTER_FLEET

    def get(self, request: HttpRequest, upload: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = own_upload(self, upload)
        file = read_fleet_file(bytes(found.content), found.file_name)
        preview = describe_upload(organisation=self.viewer.organisation, rows=file.rows, now=timezone.now())
        rows = [(one.line, one.column, one.found, one.expected) for one in problems_of(file, preview)]
        if file.refused:
            rows.insert(0, (1, "", "", file.refused))
        return csv_answer(f"errors_{found.pk}.csv", ("line", "column", "found", "expected"), rows)


class DropFleetUpload(PageView):
    """Forget a file that was not registered."""

    action = Action.REGISTER_FLEET
    http_method_names = ["post"]

    def post(self, request: HttpRequest, upload: int) -> HttpResponse:
        found = own_upload(self, upload)
        if drop_upload(upload_pk=upload, organisation=self.viewer.organisation, user_pk=person_pk(self)):
            messages.info(request, f"{found.file_name} was dropped; nothing of it was registered.")
        return redirect("aggregator:fleet_register")


class FleetTemplate(PageView):
    """A file with every column and two example rows."""

    action = Action.REGISTER_FLEET

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        content = template_file(dsrsp=self.viewer.organisation.code, enrolled_from=_tomorrow(timezone.now()))
        response = HttpResponse(content, content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="fleet_template.csv"'
        return response


def person_pk(view: PageView) -> int:
    """Whose uploads are meant; a machine has none.

    Raises:
        Http404: the viewer is no person.
    """
    if view.viewer.user_pk is None:
        raise Http404("Uploads belong to people.")
    return view.viewer.user_pk


def own_upload(view: PageView, upload: int) -> FleetUpload:
    """One's own upload.

    Raises:
        Http404: there is none.
    """
    try:
        return find_upload(upload_pk=upload, organisation=view.viewer.organisation, user_pk=person_pk(view))
    except UnknownUpload as error:
        raise Http404(error.message) from error


def facts_of(upload: FleetUpload) -> dict[str, Any]:
    return {
        "pk": upload.pk,
        "file_name": upload.file_name,
        "uploaded_at": upload.uploaded_at,
        "sha256": upload.sha256,
        "n_byte": len(bytes(upload.content)),
    }


def problems_of(file: FleetFile, preview: UploadPreview) -> list[Problem]:
    """Errors of reading and errors of registering as one list, by line."""
    by_line = {row.line: row for row in file.rows}
    unread = [Problem(one.line, one.column, one.found, f"expected {one.expected}") for one in file.errors]
    unfit = [Problem(one.line, one.column, _found(by_line[one.line], one), one.message) for one in preview.errors]
    return sorted([*unread, *unfit], key=lambda problem: (problem.line, problem.column))


def _found(row: Registration, error: RowError) -> str:
    value = getattr(row, error.column, "")
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def _shown(row: Registration, preview: UploadPreview) -> dict[str, Any]:
    has_error = any(error.line == row.line for error in preview.errors)
    return {"row": row, "kind": "error" if has_error else preview.kinds.get(row.line, "")}


def _tomorrow(now: datetime) -> datetime:
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
