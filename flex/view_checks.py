"""System check: no view stands outside the walls by forgetting to say whom it is for (flex.E013)."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from aggregator.core.permissions import Action
from aggregator.rest.permissions import ActionAllowed, is_stated
from aggregator.site.views import PUBLIC, VERIFIED

CODE = "flex.E013"
METHODS = ("get", "post", "put", "patch", "delete")


@register(Tags.urls)
def check_views(**_kwargs: Any) -> list[CheckMessage]:
    """Demand of every address a view that is public by name, or that names the action it needs."""
    found = ((address, _fault(view)) for address, view in every_view())
    return [Error(f"/{address}: {fault}", id=CODE) for address, fault in found if fault]


def every_view() -> Iterator[tuple[str, Any]]:
    """Every address, as its patterns written one after another, with its view (a class where there is one)."""
    return _views_below(get_resolver(), "")


def _views_below(resolver: URLResolver, address: str) -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        here = f"{address}{entry.pattern}"
        if isinstance(entry, URLPattern):
            yield here, getattr(entry.callback, "view_class", entry.callback)
        else:
            yield from _views_below(entry, here)


def _fault(view: Any) -> str:
    """What is missing; empty where nothing is."""
    name = getattr(view, "__qualname__", repr(view))
    if isinstance(view, type) and issubclass(view, APIView):
        return _api_fault(view, name)
    action = getattr(view, "action", None)
    if isinstance(action, Action) or action in (PUBLIC, VERIFIED):
        return ""
    return f"{name} states no action: nobody is let in. Name an Action, VERIFIED, or PUBLIC."


def _api_fault(view: type[APIView], name: str) -> str:
    if getattr(view, "action", None) == PUBLIC:
        return ""
    actions: Mapping[str, Any] = getattr(view, "actions", {})
    offered = {method.upper() for method in METHODS if hasattr(view, method)}
    known = {method for method, stated in actions.items() if is_stated(stated)}
    if ActionAllowed not in view.permission_classes:
        return f"{name} does not ask ActionAllowed."
    if not offered:
        return f"{name} answers to no method."
    if offered - known:
        return f"{name} states no action for {', '.join(sorted(offered - known))}."
    return ""
