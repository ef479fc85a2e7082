"""Every address of the site."""

from django.urls import include, path

from aggregator.rest.token import Token
from aggregator.rest.urls import docs_patterns, last_patterns, schema_patterns
from aggregator.site.views import ChooseTheme, Pulse

API_V1 = [
    *schema_patterns,
    path("token/", Token.as_view(), name="token"),
    path("", include("aggregator.api.urls")),
    path("", include("dispatch.api.urls")),
    path("", include("markets.api.urls")),
]
urlpatterns = [
    path("", include("aggregator.site.urls")),
    path("theme/", ChooseTheme.as_view(), name="theme"),
    path("pulse/", Pulse.as_view(), name="pulse"),
    path("", include("aggregator.urls")),
    path("", include("dispatch.urls")),
    path("", include("markets.urls")),
    *docs_patterns,
    path("api/v1/", include((API_V1, "api"))),
    path("api/", include(last_patterns)),
]
handler400 = "flex.errors.bad_request"
handler403 = "flex.errors.permission_denied"
handler404 = "flex.errors.page_not_found"
handler500 = "flex.errors.server_error"
