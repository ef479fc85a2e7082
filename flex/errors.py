"""What an error page is: a problem under /api/, the site's page elsewhere."""

import logging

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from aggregator.rest.failures import NOT_THERE
from aggregator.rest.problems import problem, trace_id_of

API = "/api/"
log = logging.getLogger(__name__)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API):
        return problem(request, 400, "bad_request", "The request is malformed.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API):
        return problem(request, 403, "permission_denied", "You may not do this.")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API):
        return problem(request, 404, "not_found", NOT_THERE)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(API):
        log.error("an operation crashed, trace %s", trace_id_of(request))
        return problem(request, 500, "server_error", "This is our fault. Name the trace_id when you ask about it.")
    return defaults.server_error(request)
