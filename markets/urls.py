"""Addresses of the pages and downloads."""

from django.urls import path

from aggregator.site import converters  # noqa: F401 - registers <text:…>
from markets.downloads import StatementDownload
from markets.views.overview import Health, Overview
from markets.views.request_new import CheckRequest, StateRequest
from markets.views.requests import RequestPageView, Requests
from markets.views.statements import ReleaseSettlement, Settlement, StatementPageView, Statements

app_name = "markets"
urlpatterns = [
    path("", Overview.as_view(), name="overview"),
    path("statements/<int:pk>.csv", StatementDownload.as_view(), name="statement"),
    path("statements/", Statements.as_view(), name="statements"),
    path("statements/<int:statement>/", StatementPageView.as_view(), name="statement_page"),
    path("settlements/<int:settlement>/", Settlement.as_view(), name="settlement"),
    path("settlements/<int:settlement>/release/", ReleaseSettlement.as_view(), name="release"),
    path("requests/", Requests.as_view(), name="requests"),
    path("requests/new/", StateRequest.as_view(), name="request_new"),
    path("requests/check/", CheckRequest.as_view(), name="request_check"),
    path("requests/<text:reference>/", RequestPageView.as_view(), name="request"),
    path("healthz", Health.as_view(), name="health"),
]
