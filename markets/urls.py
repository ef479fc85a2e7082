"""Addresses of the pages and downloads."""

from django.urls import path

from aggregator.site import converters  # noqa: F401 - registers <text:…>
from markets.downloads import (
    EvidenceDownload,
    ExcelDownload,
    ParquetDownload,
    PdfDownload,
    SigningKeys,
    StatementDownload,
)
from markets.views.baseline_lab import BaselineLab
from markets.views.calls import NewCall
from markets.views.control_groups import ControlGroupPage, ControlGroups, NewControlGroup
from markets.views.invoice_issue import IssueInvoices
from markets.views.invoices import InvoicePage, Invoices
from markets.views.ledger import Ledger, Rules
from markets.views.market_new import NewContract, NewMarket
from markets.views.nominations import NewNomination, NominationPage, Nominations
from markets.views.orders import DispatchOrder, FlexOrderPageView, FlexOrders
from markets.views.overview import Health, Overview
from markets.views.product_change import ChangeProduct
from markets.views.product_new import NewProduct
from markets.views.products import ProductPage, Products
from markets.views.request_new import CheckRequest, StateRequest
from markets.views.requests import RequestPageView, Requests
from markets.views.statements import ReleaseSettlement, Settlement, StatementPageView, Statements
from markets.views.trading import (
    AcceptOffer,
    FlexRequestPageView,
    MarketPageView,
    Markets,
    NewFlexRequest,
    NewOffer,
)
from markets.views.volumes import VolumeDownload, Volumes

app_name = "markets"
urlpatterns = [
    path("volumes/", Volumes.as_view(), name="volumes"),
    path("volumes/<int:volume_file>.txt", VolumeDownload.as_view(), name="volume_file"),
    path("", Overview.as_view(), name="overview"),
    path("statements/<int:pk>.csv", StatementDownload.as_view(), name="statement"),
    path("statements/<int:pk>.xlsx", ExcelDownload.as_view(), name="statement_xlsx"),
    path("statements/<int:pk>.parquet", ParquetDownload.as_view(), name="statement_parquet"),
    path("statements/<int:pk>.pdf", PdfDownload.as_view(), name="statement_pdf"),
    path("statements/<int:pk>.zip", EvidenceDownload.as_view(), name="statement_evidence"),
    path(".well-known/headroom-signing-keys.json", SigningKeys.as_view(), name="signing_keys"),
    path("statements/", Statements.as_view(), name="statements"),
    path("statements/<int:statement>/", StatementPageView.as_view(), name="statement_page"),
    path("invoices/", Invoices.as_view(), name="invoices"),
    path("invoices/issue/", IssueInvoices.as_view(), name="invoices_issue"),
    path("invoices/<int:invoice>/", InvoicePage.as_view(), name="invoice"),
    path("settlements/<int:settlement>/", Settlement.as_view(), name="settlement"),
    path("settlements/<int:settlement>/release/", ReleaseSettlement.as_view(), name="release"),
    path("baselines/", BaselineLab.as_view(), name="baseline_lab"),
    path("settlements/<int:settlement>/ledger/", Ledger.as_view(), name="ledger"),
    path("primacy/", Rules.as_view(), name="rules"),
    path("products/", Products.as_view(), name="products"),
    path("products/new/", NewProduct.as_view(), name="product_new"),
    path("products/<int:product>/", ProductPage.as_view(), name="product"),
    path("products/<int:product>/change/", ChangeProduct.as_view(), name="product_change"),
    path("requests/", Requests.as_view(), name="requests"),
    path("requests/new/", StateRequest.as_view(), name="request_new"),
    path("requests/check/", CheckRequest.as_view(), name="request_check"),
    path("requests/<text:reference>/", RequestPageView.as_view(), name="request"),
    path("markets/", Markets.as_view(), name="markets"),
    path("markets/new/", NewMarket.as_view(), name="market_new"),
    path("markets/<slug:market>/", MarketPageView.as_view(), name="market"),
    path("markets/<slug:market>/request/", NewFlexRequest.as_view(), name="flex_request_new"),
    path("markets/<slug:market>/call/", NewCall.as_view(), name="call_new"),
    path("markets/<slug:market>/contract/", NewContract.as_view(), name="contract_new"),
    path("flex-requests/<int:flexrequest>/", FlexRequestPageView.as_view(), name="flex_request"),
    path("flex-requests/<int:flexrequest>/offer/", NewOffer.as_view(), name="offer_new"),
    path("flex-offers/<int:flexoffer>/accept/", AcceptOffer.as_view(), name="offer_accept"),
    path("control-groups/", ControlGroups.as_view(), name="control_groups"),
    path("control-groups/new/", NewControlGroup.as_view(), name="control_group_new"),
    path("control-groups/<int:controlgroup>/", ControlGroupPage.as_view(), name="control_group"),
    path("nominations/", Nominations.as_view(), name="nominations"),
    path("nominations/new/", NewNomination.as_view(), name="nomination_new"),
    path("nominations/<int:nomination>/", NominationPage.as_view(), name="nomination"),
    path("orders/", FlexOrders.as_view(), name="flex_orders"),
    path("orders/<int:flexorder>/", FlexOrderPageView.as_view(), name="flex_order"),
    path("orders/<int:flexorder>/dispatch/", DispatchOrder.as_view(), name="order_dispatch"),
    path("healthz", Health.as_view(), name="health"),
]
