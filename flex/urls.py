"""Every address of the site."""

from django.contrib.auth import views as auth_views
from django.urls import include, path

from aggregator.site.views import ChooseTheme, Pulse

urlpatterns = [
    path("login/", auth_views.LoginView.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("theme/", ChooseTheme.as_view(), name="theme"),
    path("pulse/", Pulse.as_view(), name="pulse"),
    path("", include("markets.urls")),
]
