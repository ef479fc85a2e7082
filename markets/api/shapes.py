"""What the rows of the market share: money and energies as exact text, local times, public ids."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from aggregator.rest.fields import Choice, local_text
from aggregator.rest.serializers import Query, Row

LONDON = "Europe/London"
TZ_HELP = "adds starts_local and ends_local, as a person there reads them"
# Prefixes of public ids.
EVENT, PRODUCT, SETTLEMENT, STATEMENT = "flexevent", "product", "settlement", "statement"
FLEX_REQUEST, FLEX_OFFER, FLEX_ORDER, CONTRACT = "flexrequest", "flexoffer", "flexorder", "contract"
PRIMACY_RULE, STACKING_RULE = "primacyrule", "stackingrule"
CYCLE, RUN, ACT, INVOICE = "cycle", "run", "act", "invoice"
NOMINATION, CONTROL_GROUP = "nomination", "controlgroup"


class TzQuery(Query):
    tz = Choice(choices=[LONDON], required=False, help_text=TZ_HELP)


class LocalTimes(Row):
    """The same times for a person, where ``?tz=`` asks for it."""

    starts_local = serializers.CharField(required=False, help_text=f"with ?tz={LONDON} only")
    ends_local = serializers.CharField(required=False, help_text=f"with ?tz={LONDON} only")


def with_local(shown: Mapping[str, Any], tz: str | None) -> dict[str, Any]:
    """What is shown of an interval, with local text beside its times where it was asked for."""
    if not tz:
        return dict(shown)
    local = {f"{name}_local": local_text(datetime.fromisoformat(shown[f"{name}_at"])) for name in ("starts", "ends")}
    return {**shown, **local}


class Kwh(serializers.DecimalField):
    """Energy in kWh as text with four decimals: no digit is lost on the way."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=14, decimal_places=4, read_only=True, **kwargs)


class Gbp(serializers.DecimalField):
    """Money in GBP as text with two decimals."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=14, decimal_places=2, read_only=True, **kwargs)
