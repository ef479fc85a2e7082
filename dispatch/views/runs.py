"""Dispatch runs: the list, one plan with its bound and proof, and its setpoints as a file."""

from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.models import NetworkNode, Organisation
from aggregator.queries import findings_seen_by, worst_first
from aggregator.site.csv_answer import Cell, csv_answer
from aggregator.site.filters import choice_filter, day_filter, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from dispatch.models import DispatchRun
from dispatch.queries import run_nodes_seen_by, runs_seen_by, setpoints_seen_by
from dispatch.services.plans import see_setpoints
from dispatch.services.run_pages import (
    find_run,
    node_lines,
    node_panel,
    nodes_of_run,
    run_lines,
    run_page,
    setpoint_lines,
)

RUNS_A_PAGE = 20
SHOWN_FINDINGS = 100
ROWS_AT_ONCE = 1_000


class Runs(PageView):
    """``?area=``, ``?day=``, ``?page=``; the newest first."""

    action = Action.SEE_RUNS

    def get(self, request: HttpRequest) -> HttpResponse:
        organisation = self.viewer.organisation
        runs = runs_seen_by(organisation)
        known = NetworkNode.objects.filter(pk__in=runs.order_by().values("area")).order_by("code")
        areas = list(known.values_list("code", flat=True))
        area, day = choice_filter(request, "area", set(areas)), day_filter(request)
        wanted = {"area__code": area, "charging_day": day}
        found = runs.filter(**{name: value for name, value in wanted.items() if value})
        page = page_of(request, found.order_by("-charging_day", "-created_at", "-pk"), n=RUNS_A_PAGE)
        context = {
            "page": page,
            "rows": run_lines(runs=page.rows, organisation=organisation),
            "areas": areas,
            "area": area,
            "day": day.isoformat() if day else "",
            "is_fleet": organisation.kind == Organisation.Kind.DSRSP,
        }
        return self.page("dispatch/runs.html", context)


class Run(PageView):
    """``?node=`` draws a node; ``?nodes=`` and ``?page=`` page its nodes and setpoints."""

    action = Action.SEE_RUNS

    def get(self, request: HttpRequest, run: int) -> HttpResponse:
        found = run_or_404(self, run)
        organisation = self.viewer.organisation
        context: dict[str, Any] = {
            "run": run_page(run=found, organisation=organisation, with_requests=self.viewer.may(Action.SEE_REQUESTS)),
            "is_fleet": organisation.kind == Organisation.Kind.DSRSP,
            "may_see_requests": self.viewer.may(Action.SEE_REQUESTS),
            "may_see_fleet": self.viewer.may(Action.SEE_FLEET),
            **self._nodes(request, found),
            **self._setpoints(request, found),
        }
        findings = worst_first(findings_seen_by(organisation).filter(source=f"run:{found.pk}"))
        context["findings"] = list(findings.values("severity", "code", "subject", "message")[:SHOWN_FINDINGS])
        return self.page("dispatch/run.html", context)

    def _nodes(self, request: HttpRequest, run: DispatchRun) -> dict[str, Any]:
        if not self.viewer.may(Action.SEE_NETWORK):
            return {}
        organisation = self.viewer.organisation
        codes = nodes_of_run(run=run, organisation=organisation)
        nodes = run_nodes_seen_by(organisation).filter(run=run).order_by("node__code")
        page = page_of(request, nodes, name="nodes")
        asked = text_filter(request, "node")
        chosen = asked if asked in codes else next(iter(codes), "")
        drawn = nodes.filter(node__code=chosen).first()
        return {
            "nodes_page": page,
            "nodes": node_lines(run=run, nodes=page.rows, organisation=organisation),
            "node_codes": codes,
            "chosen": chosen,
            "unknown_node": asked if asked and asked != chosen else "",
            "panel": node_panel(run=run, node=drawn, organisation=organisation) if drawn else None,
        }

    def _setpoints(self, request: HttpRequest, run: DispatchRun) -> dict[str, Any]:
        if not self.viewer.may(Action.SEE_SETPOINTS):
            return {}
        organisation = self.viewer.organisation
        setpoints = setpoints_seen_by(organisation).filter(run=run).order_by("evse__pseudonym")
        page = page_of(request, setpoints)
        lines = setpoint_lines(run=run, setpoints=page.rows, organisation=organisation, now=timezone.now())
        return {"setpoints_page": page, "setpoints": lines}


class RunSetpoints(PageView):
    """Every setpoint of a run the viewer sees, one line an EVSE, a column a half-hour, in kW."""

    action = Action.SEE_SETPOINTS

    def get(self, request: HttpRequest, run: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = run_or_404(self, run)
        starts = [f"{at:%Y-%m-%dT%H:%MZ}" for at in found.grid.starts()]
        return csv_answer(f"setpoints_run_{found.pk}.csv", ("pseudonym", "what", *starts), self._rows(found))

    def _rows(self, run: DispatchRun) -> Iterator[tuple[Cell, ...]]:
        organisation = self.viewer.organisation
        setpoints = list(setpoints_seen_by(organisation).filter(run=run).order_by("evse__pseudonym"))
        for first in range(0, len(setpoints), ROWS_AT_ONCE):
            for seen in see_setpoints(run, setpoints[first : first + ROWS_AT_ONCE], organisation):
                name = seen.setpoint.evse.pseudonym
                yield (name, "setpoint_kw", *seen.setpoint.setpoint_kw)
                if seen.issued:
                    yield (name, "told_kw", *seen.issued.setpoint_kw)
                if seen.plan:
                    yield (name, "planned_kw", *seen.plan.planned_kw)


def run_or_404(view: PageView, pk: int) -> DispatchRun:
    """The run with this number, if it is the viewer's to see.

    Raises:
        Http404: there is none, or it is another's.
    """
    found = find_run(pk=pk, organisation=view.viewer.organisation)
    if found is None:
        raise Http404("There is no such run, or it is not yours to see.")
    return found
