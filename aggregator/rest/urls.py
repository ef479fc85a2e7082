"""Addresses of the API that belong to no resource."""

from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.views import View

from aggregator.rest.docs_page import DocsPage, ProblemType
from aggregator.rest.failures import NOT_THERE
from aggregator.rest.problems import problem
from aggregator.rest.schema_whole import SchemaView
from aggregator.site.views import PUBLIC


class NotFound(View):
    """Nothing has this address; last of all, so that DEBUG and a missing slash change nothing."""

    action = PUBLIC

    def dispatch(self, request: HttpRequest, **_kwargs: str) -> HttpResponse:
        return problem(request, 404, "not_found", NOT_THERE)


schema_patterns = [path("schema/", SchemaView.as_view(), name="schema")]
docs_patterns = [
    path("docs/", DocsPage.as_view(), name="docs"),
    re_path(r"^problems/[a-z0-9_.]{1,80}$", ProblemType.as_view(), name="problem_type"),
]
last_patterns = [re_path(r"^", NotFound.as_view(), name="api_not_found")]
