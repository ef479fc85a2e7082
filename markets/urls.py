"""Addresses of the pages and downloads."""

from django.urls import path

from markets.downloads import StatementDownload
from markets.views.overview import Health, Overview

app_name = "markets"
urlpatterns = [
    path("", Overview.as_view(), name="overview"),
    path("statements/<int:pk>.csv", StatementDownload.as_view(), name="statement"),
    path("healthz", Health.as_view(), name="health"),
]
