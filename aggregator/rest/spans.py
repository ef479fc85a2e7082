"""Lists that may be narrowed to a span of time: ``from`` and ``to``, both or neither, at most 31 days."""

from typing import Any

from aggregator.rest.fields import OffsetDateTime
from aggregator.rest.problems import broken_rule
from aggregator.rest.views import ListQuery
from aggregator.rest.windows import check_span


class PartQuery(ListQuery):
    """The whole list, or the part of it that falls into a span; ``from`` is a word of Python's, so fields are added."""

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        fields["from"] = OffsetDateTime(required=False, help_text="start of the span, included; goes with to")
        fields["to"] = OffsetDateTime(required=False, help_text="end of the span, left out; at most 31 days after from")
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("from" in attrs) != ("to" in attrs):
            missing = "to" if "from" in attrs else "from"
            said = f"from and to go together: {missing} is missing"
            raise broken_rule("window.half", f"/{missing}", said, place="query")
        if "from" in attrs:
            check_span(attrs["from"], attrs["to"])
        return attrs
