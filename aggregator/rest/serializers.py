"""Shapes in and out: what is asked is refused where it says more than the schema, what is answered is complete."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework import serializers

from aggregator.rest.problems import InvalidInput


class StrictSerializer(serializers.Serializer[Any]):
    """A request's shape: a name it does not know is refused, with its pointer.

    Attributes:
        example: a whole good value, shown in the schema and tried by a test.
    """

    example: ClassVar[Any] = None
    default_error_messages = {"unknown": "No such field.", "invalid": "Expected an object."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            told = serializers.ErrorDetail(str(self.error_messages["invalid"]), code="invalid")
            raise serializers.ValidationError({"non_field_errors": [told]})
        unknown = [name for name in data if name not in self.fields]
        errors: dict[str, Any] = {
            name: [serializers.ErrorDetail(str(self.error_messages["unknown"]), code="unknown")] for name in unknown
        }
        try:
            value: dict[str, Any] = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**errors, **_by_name(error.detail)}) from None
        if errors:
            raise serializers.ValidationError(errors)
        return value


def _by_name(detail: Any) -> Mapping[str, Any]:
    return detail if isinstance(detail, Mapping) else {"non_field_errors": detail}


class Query(StrictSerializer):
    """The query string of an operation: unknown, empty and repeated parameters are refused."""

    reads_query = True
    default_error_messages = {"unknown": "This operation has no such parameter."}

    @classmethod
    def read(cls, params: QueryDict) -> dict[str, Any]:
        """Validated parameters.

        Raises:
            InvalidInput: 400, with a pointer for each parameter in the way.
        """
        repeated = {
            name: [serializers.ErrorDetail("Given more than once.", code="repeated")]
            for name, values in params.lists()
            if len(values) > 1
        }
        if repeated:
            raise InvalidInput(repeated, place="query")
        asked = cls(data={name: values[0] for name, values in params.lists()})
        if not asked.is_valid():
            raise InvalidInput(asked.errors, place="query")
        return dict(asked.validated_data)


class Row(serializers.Serializer[Any]):
    """An answer's shape. Every field is always there; what is not known is null.

    Attributes:
        example: a whole answer, shown in the schema and checked against it by a test.
    """

    example: ClassVar[Any] = None

    @classmethod
    def show(cls, thing: Any, **context: Any) -> dict[str, Any]:
        """One thing as plain JSON values."""
        return dict(cls(thing, context=context).data)

    @classmethod
    def show_all(cls, things: Iterable[Any], **context: Any) -> list[dict[str, Any]]:
        """Many things, in their order."""
        return [dict(one) for one in cls(list(things), many=True, context=context).data]
