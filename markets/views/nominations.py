"""Nominated baselines: the list, one by settlement period, and handing in a file."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.core.timegrid import settlement_day
from aggregator.site.filters import day_filter
from aggregator.site.paging import page_of
from aggregator.site.upload_cap import MAX_BYTES, was_cut
from aggregator.site.views import PageView
from markets.core.nominations import DATED_HEADER, InvalidNomination, read_nominations
from markets.models import Nomination
from markets.queries import nominations_seen_by
from markets.services.nominations import is_late, products_nominated, submit_nominations
from markets.views.trading_forms import TradeForm

ROWS_A_PAGE = 40


def _day(label: str, help_text: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput({"placeholder": "2026-01-14", "autocomplete": "off"}, "%Y-%m-%d"),
        help_text=help_text,
        error_messages={"invalid": "Write the day as 2026-01-14."},
    )


class NominationForm(TradeForm):
    """Which product and zone a file of nominations is for."""

    product = forms.CharField(
        label="Product", max_length=50, widget=forms.Select(), help_text="only those whose baseline is nominated"
    )
    node = forms.CharField(label="Zone", max_length=80, help_text="code of the network node that events are called at")
    file = forms.FileField(label="CSV file", help_text="dated periods, or one week; see below")
    first = _day("From", "a week needs it; of a dated file the dates from here on")
    last = _day("To", "both included")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["product"].widget.choices = [(one.code, f"{one.name} ({one.code})") for one in products_nominated()]


class Nominations(PageView):
    """``?day=`` a settlement date, ``?page=``."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest) -> HttpResponse:
        day = day_filter(request)
        rows = nominations_seen_by(self.viewer.organisation).order_by("-submitted_at", "-pk")
        page = page_of(request, rows.filter(settlement_date=day) if day else rows, n=ROWS_A_PAGE)
        context = {
            "page": page,
            "rows": [_line(row) for row in page.rows],
            "day": day.isoformat() if day else "",
            "may_nominate": self.viewer.may(Action.OFFER_FLEX),
        }
        return self.page("markets/nominations.html", context)


class NominationPage(PageView):
    """One nomination, by settlement period."""

    action = Action.SEE_MARKETS

    def get(self, request: HttpRequest, nomination: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        row = nominations_seen_by(self.viewer.organisation).filter(pk=nomination).first()
        if row is None:
            raise Http404("There is no such nomination, or it is not yours to see.")
        starts = settlement_day(row.settlement_date).starts()
        periods = [
            {"number": number, "starts_at": at, "power_kw": power_kw}
            for number, (at, power_kw) in enumerate(zip(starts, row.power_kw, strict=True), start=1)
        ]
        return self.page("markets/nomination.html", {"line": _line(row), "periods": periods})


class NewNomination(PageView):
    """Hand in a file of nominations."""

    action = Action.OFFER_FLEX

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - Django's signature
        return self._form(NominationForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NominationForm(request.POST, request.FILES)
        if was_cut(request):
            form.add_error("file", f"The file has more than {MAX_BYTES:,} bytes, the most that is taken.")
        if not form.is_valid():
            return self._form(form, status=400)
        stated = form.cleaned_data
        try:
            handed = submit_nominations(
                organisation=self.viewer.organisation,
                product=stated["product"],
                node=stated["node"],
                days=read_nominations(_text(stated["file"]), first=stated["first"], last=stated["last"]),
                now=timezone.now(),
            )
        except FlexError as error:
            form.refuse(error)
            return self._form(form, status=409)
        n_day = len(handed.rows)
        messages.info(
            request, f"{n_day - handed.n_same} settlement dates are nominated, {handed.n_same} stay as they stood."
        )
        if handed.late:
            dates = ", ".join(day.isoformat() for day in handed.late[:5])
            messages.warning(request, f"After the deadline: {len(handed.late)} of them ({dates}).")
        return redirect("markets:nominations")

    def _form(self, form: NominationForm, status: int = 200) -> HttpResponse:
        context = {
            "form": form,
            "columns": ", ".join(DATED_HEADER),
            "has_products": bool(products_nominated()),
            "max_mb": MAX_BYTES // 2**20,
        }
        return self.page("markets/nomination_new.html", context, status=status)


def _line(row: Nomination) -> dict[str, Any]:
    """A nomination as lists show it."""
    said = [one for one in row.power_kw if one is not None]
    return {
        "row": row,
        "is_late": is_late(row),
        "energy_kwh": sum(said) / 2,
        "most_kw": max(said, default=0.0),
        "n_period": len(said),
        "n_of": len(row.power_kw),
    }


def _text(file: "UploadedFile[Any]") -> str:
    content: bytes = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidNomination("the file is no text in UTF-8", field="file") from error
