"""What was noticed, what is being worked on, and what was done: findings, jobs and the event log."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.plain_facts import plain_facts
from aggregator.models import Event, Job, Organisation
from aggregator.queries import SEVERITIES, events_seen_by, findings_seen_by, jobs_seen_by
from aggregator.services.event_log import newest_anchor, verify_events
from aggregator.site.csv_answer import csv_answer
from aggregator.site.filters import asked_only, choice_filter, day_filter, local_day, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView

LARGEST_FILE = 50_000  # events
LOG_HEADER = ("sequence", "at", "actor", "organisation", "action", "subject", "reason", "before", "after", "sha256")


class Findings(PageView):
    """``?severity=``, ``?code=`` (its beginning), ``?source=``, ``?page=``; the newest first."""

    action = Action.SEE_FINDINGS

    def get(self, request: HttpRequest) -> HttpResponse:
        severity = choice_filter(request, "severity", set(SEVERITIES))
        code, source = text_filter(request, "code"), text_filter(request, "source")
        wanted = {"severity": severity, "code__startswith": code, "source": source}
        found = findings_seen_by(self.viewer.organisation).filter(
            **{name: text for name, text in wanted.items() if text}
        )
        page = page_of(request, found.order_by("-noticed_at", "-pk"))
        rows = [
            {
                "severity": one.severity,
                "code": one.code,
                "subject": one.subject,
                "message": one.message,
                "source": one.source,
                "noticed_at": one.noticed_at,
                "details": plain_facts(one.details),
            }
            for one in page.rows
        ]
        context = {
            "page": page,
            "rows": rows,
            "severities": SEVERITIES[::-1],
            "severity": severity,
            "code": code,
            "source": source,
            "is_filtered": bool(severity or code or source),
        }
        return self.page("aggregator/findings.html", context)


class Jobs(PageView):
    """``?state=``, ``?kind=``, ``?page=``; the newest first."""

    action = Action.SEE_JOBS

    def get(self, request: HttpRequest) -> HttpResponse:
        jobs = jobs_seen_by(self.viewer.organisation)
        kinds = list(jobs.order_by("kind").values_list("kind", flat=True).distinct())
        state, kind = choice_filter(request, "state", set(Job.State.values)), choice_filter(request, "kind", set(kinds))
        wanted = {"state": state, "kind": kind}
        found = jobs.filter(**asked_only(wanted))
        page = page_of(request, found.order_by("-created_at", "-pk"))
        context = {
            "page": page,
            "rows": [_job(job) for job in page.rows],
            "states": Job.State.choices,
            "kinds": kinds,
            "state": state,
            "kind": kind,
        }
        return self.page("aggregator/jobs.html", context)


class Log(PageView):
    """``?action=`` (its beginning), ``?actor=`` (part of it), ``?day=``, ``?page=``; the newest first."""

    action = Action.SEE_LOG

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._log(request)

    def _log(self, request: HttpRequest, error: str = "") -> HttpResponse:
        events, wanted = wanted_events(self, request)
        page = page_of(request, events)
        context = {
            "page": page,
            "rows": [_event(event) for event in page.rows],
            "wanted": wanted,
            "is_filtered": any(wanted.values()),
            "query": request.GET.urlencode(),
            "anchor": newest_anchor(),
            "sees_all": self.viewer.organisation.kind == Organisation.Kind.PLATFORM,
            "error": error,
        }
        return self.page("aggregator/log.html", context, status=400 if error else 200)


class LogFile(Log):
    """The same events with the same filters, as CSV."""

    def get(self, request: HttpRequest) -> HttpResponse:
        events, _ = wanted_events(self, request)
        n_event = events.count()
        if n_event > LARGEST_FILE:
            return self._log(
                request, f"{n_event:,} events are more than one file takes ({LARGEST_FILE:,}): name a day."
            )
        rows = (
            (
                event.sequence,
                event.at,
                event.actor,
                event.organisation.code if event.organisation else "",
                event.action,
                event.subject,
                event.reason,
                _said(event.before),
                _said(event.after),
                event.sha256,
            )
            for event in events
        )
        return csv_answer(f"log_{self.viewer.organisation.code}_{timezone.now():%Y%m%d}.csv", LOG_HEADER, rows)


class VerifyLog(PageView):
    """Walk the whole chain now; for those who see all of it."""

    action = Action.SEE_LOG
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        if self.viewer.organisation.kind != Organisation.Kind.PLATFORM:
            raise PermissionDenied("Only the platform's own people can walk the whole log.")
        try:
            report = verify_events()
        except FlexError as error:
            messages.error(request, f"The log could not be checked: {error.message}.")
        else:
            if report.broken:
                messages.error(request, f"The log is broken: {report.broken.message}")
            else:
                found = f"{report.n_event:,} events, {report.n_anchor:,} anchors hold"
                messages.info(request, f"The log is intact: {found}, head {report.head.sha256[:12]}.")
        return redirect("aggregator:log")


def wanted_events(view: PageView, request: HttpRequest) -> tuple[QuerySet[Event], dict[str, str]]:
    """The viewer's events that fit an address's filters, and the filters as they are shown."""
    day = day_filter(request)
    wanted = {
        "action": text_filter(request, "action"),
        "actor": text_filter(request, "actor"),
        "day": day.isoformat() if day else "",
    }
    events = events_seen_by(view.viewer.organisation)
    if wanted["action"]:
        events = events.filter(action__startswith=wanted["action"])
    if wanted["actor"]:
        events = events.filter(actor__icontains=wanted["actor"])
    if day:
        starts_at, ends_at = local_day(day)
        events = events.filter(at__gte=starts_at, at__lt=ends_at)
    return events, wanted


def _event(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": event.at,
        "actor": event.actor,
        "organisation": event.organisation.code if event.organisation else "",
        "action": event.action,
        "subject": event.subject,
        "reason": event.reason,
        "before": plain_facts(event.before),
        "after": plain_facts(event.after),
        "sha256": event.sha256,
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "pk": job.pk,
        "kind": job.kind,
        "state": job.state,
        "state_label": job.get_state_display(),
        "attempts": f"{job.attempts} of {job.max_attempts}",
        "created_at": job.created_at,
        "due_at": job.due_at,
        "finished_at": job.finished_at,
        "payload": plain_facts(job.payload),
        "outcome": plain_facts(job.outcome),
        "is_late": _is_late(job, timezone.now()),
    }


def _is_late(job: Job, now: datetime) -> bool:
    return job.state == Job.State.LEASED and job.leased_until is not None and job.leased_until < now


def _said(facts: dict[str, object] | None) -> str:
    return "; ".join(f"{fact.name}={fact.value}" for fact in plain_facts(facts))
