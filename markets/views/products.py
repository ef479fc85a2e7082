"""Products: the list, and one version with its terms and the versions around it."""

from django.db.models import Case, Q, When
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from aggregator.core.permissions import Action
from aggregator.site.filters import choice_filter, text_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.core.baseline_methods import METHODS
from markets.models import Product
from markets.queries import products_seen_by
from markets.services.product_pages import product_page

ROWS_A_PAGE = 40


class Products(PageView):
    """The newest version of each, one's own first: ``?q=`` part of a code or name, ``?family=``, ``?page=``."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest) -> HttpResponse:
        text, family = text_filter(request, "q"), choice_filter(request, "family", set(Product.Family.values))
        every, now = products_seen_by(self.viewer.organisation), timezone.now()
        newest = every.order_by("code", "-version").distinct("code").values("pk")
        found = every.filter(pk__in=newest).filter(Q(code__icontains=text) | Q(name__icontains=text))
        own_first = Case(When(buyer=self.viewer.organisation, then=0), default=1)
        if family:
            found = found.filter(family=family)
        page = page_of(request, found.order_by(own_first, "code", "pk"), n=ROWS_A_PAGE)
        context = {
            "page": page,
            "rows": [
                {"product": row, "baseline": _baseline(row), "is_ahead": row.valid_from > now} for row in page.rows
            ],
            "text": text,
            "family": family,
            "families": Product.Family.choices,
            "own": self.viewer.organisation.pk,
            "may_state": self.viewer.may(Action.CHANGE_PRODUCTS),
        }
        return self.page("markets/products.html", context)


def _baseline(product: Product) -> str:
    method = METHODS.get(product.baseline_method)
    return method.label if method else product.baseline_method


class ProductPage(PageView):
    """One version: what it states, and what each version changed."""

    action = Action.SEE_STATEMENTS

    def get(self, request: HttpRequest, product: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        found = product_page(product_pk=product, organisation=self.viewer.organisation, now=timezone.now())
        if found is None:
            raise Http404("There is no such product.")
        may_change = found.is_own and found.is_newest and self.viewer.may(Action.CHANGE_PRODUCTS)
        return self.page("markets/product.html", {"product": found, "may_change": may_change})
