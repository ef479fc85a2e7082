"""How our own fields look in the schema; importing this module tells drf-spectacular."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

DIGITS = "[1-9][0-9]{0,14}"


class PublicIdSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "aggregator.rest.fields.PublicId"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.target.prefix}_{DIGITS}$"}


class TextSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "aggregator.rest.fields.Text"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        plain = auto_schema._map_serializer_field  # noqa: SLF001 - the way drf-spectacular's own extensions go
        mapped: dict[str, Any] = plain(self.target, direction, bypass_extensions=True)
        # Whether it may be null is added to what an extension says; said twice it is no schema.
        return {**mapped, "type": "string", "pattern": self.target.pattern}
