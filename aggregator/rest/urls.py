"""Addresses of the API that belong to no resource."""

from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.views import View

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
last_patterns = [re_path(r"^", NotFound.as_view(), name="api_not_found")]
