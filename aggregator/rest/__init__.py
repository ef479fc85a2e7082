"""What every operation of the API shares. A list and a detail, as an app's ``api`` states them:

class RunRow(Row):                                    # the answer's shape; "Row" is dropped from its public name
    example = {"id": "run_1", "starts_at": "2026-11-22T17:00:00Z", "state": "done"}
    id = PublicId("run", source="pk")
    starts_at = OffsetDateTime()
    state = serializers.CharField()

class RunQuery(ListQuery):                            # filters; unknown parameters are refused with 400
    state = Choice(choices=["done", "failed"], required=False)

class Runs(ListView):
    "Dispatch runs."                                  # summary in the schema
    actions = {"GET": Action.SEE_RUNS, "POST": Action.REQUEST_DISPATCH}   # what is missing is closed
    row, filters = RunRow, RunQuery
    orders = {"newest": ("-starts_at", "-pk"), "oldest": ("starts_at", "pk")}   # first: default; last field unique
    bodies = {"POST": NewRun}                         # a StrictSerializer with an example
    answers = {"POST": (202, ControlActRow)}
    confirmed = frozenset({"POST"})                   # demands a viewer who proved just now who they are

    def seen(self, asked):                            # asked: validated filters
        return runs_seen_by(self.viewer.organisation).filter(**asked)

    @idempotent                                       # needs Idempotency-Key, and says so in the schema
    def post(self, request, *args, **kwargs):
        "Ask for a run."
        act = ask_for_run(**self.body(), now=timezone.now())   # FlexError -> problem; see settings.PROBLEM_STATUSES
        return Response(ControlActRow.show(act), status=202)

class RunDetail(DetailView):                          # ETag, 304; path("runs/<str:id>/", RunDetail.as_view())
    "One dispatch run."
    actions, row, id_prefix = {"GET": Action.SEE_RUNS}, RunRow, "run"

    def find(self, *, to_change=False):
        return get_object_or_404(runs_seen_by(self.viewer.organisation), pk=self.pk())

    PATCH on a detail: in a transaction ``thing = self.find(to_change=True)``, ``self.demand_match(thing)``, change it,
    ``return self.answer_with_etag(self.show(thing))``.

Rules over several values: ``raise broken_rule(code, pointer, detail)`` (422). ``from`` and ``to`` of a time series:
``WindowQuery`` of ``windows``; where both may be left out, ``PartQuery`` of ``spans``. Shapes that several apps answer
with: ``rows``.
"""
