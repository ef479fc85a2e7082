"""Addresses of this app's resources, under /api/v1/."""

from django.urls import path

from aggregator.api import who

urlpatterns = [
    path("me/", who.Me.as_view(), name="me"),
    path("organisations/", who.Organisations.as_view(), name="organisations"),
    path("organisations/<str:code>/", who.OrganisationDetail.as_view(), name="organisation"),
]
