"""Every address of the site."""

from django.urls import include, path

from aggregator.site.views import ChooseTheme, Pulse

urlpatterns = [
    path("", include("aggregator.site.urls")),
    path("theme/", ChooseTheme.as_view(), name="theme"),
    path("pulse/", Pulse.as_view(), name="pulse"),
    path("", include("aggregator.urls")),
    path("", include("markets.urls")),
]
