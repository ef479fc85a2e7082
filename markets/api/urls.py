"""Addresses of this app's resources, under /api/v1/."""

from django.urls import path

from markets.api import (
    cycles,
    events,
    products,
    releases,
    request_asks,
    requests,
    settlements,
    statement_file,
    statements,
)

urlpatterns = [
    path("requests/", request_asks.Requests.as_view(), name="requests"),
    path("requests:check/", request_asks.RequestCheck.as_view(), name="check_request"),
    path("requests/<path:reference>/", requests.RequestDetail.as_view(), name="request"),
    path("products/", products.Products.as_view(), name="products"),
    path("products/<str:id>/", products.ProductDetail.as_view(), name="product"),
    path("flex-events/", events.FlexEvents.as_view(), name="flex_events"),
    path("flex-events/<str:id>/", events.FlexEventDetail.as_view(), name="flex_event"),
    path("cycles/", cycles.Cycles.as_view(), name="cycles"),
    path("cycles/<str:id>/", cycles.CycleDetail.as_view(), name="cycle"),
    path("settlement-runs/", settlements.Settlements.as_view(), name="settlement_runs"),
    path("settlement-runs/<str:id>/", settlements.SettlementDetail.as_view(), name="settlement_run"),
    path("settlement-runs/<str:id>/release/", releases.Release.as_view(), name="release_settlement_run"),
    path("statements/", statements.Statements.as_view(), name="statements"),
    path("statements/<str:id>/", statements.StatementDetail.as_view(), name="statement"),
    path("statements/<str:id>/diff/", statements.StatementDiff.as_view(), name="statement_diff"),
    path("statements/<str:id>/file/", statement_file.StatementFile.as_view(), name="statement_file"),
]
