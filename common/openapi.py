"""How the OpenAPI document tells our envelope, our errors and our declared input types."""

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import Direction, OpenApiParameter, extend_schema


def without_gateway_family(endpoints: list[Any]) -> list[Any]:
    """The routes to document: the gateway's `/api/view/v1/start` is `/v1/view/start` by another name."""
    return [endpoint for endpoint in endpoints if not endpoint[0].startswith("/api/")]


F = TypeVar("F", bound=Callable[..., Any])
_REFS = "#/components/schemas/{name}"


class StructExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Lets `extend_schema(request=SomeStruct)` name a msgspec type; its schema is msgspec's own."""

    target_class = "msgspec.Struct"
    match_subclasses = True

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        """The type's own name."""
        return str(self.target.__name__)

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """The type's JSON schema, with the types it uses registered beside it."""
        kind = self.target
        (_,), components = msgspec.json.schema_components([kind], ref_template=_REFS)
        own: dict[str, Any] = components.pop(kind.__name__)
        for name, schema in components.items():
            kind_of = ResolvedComponent.SCHEMA
            other = ResolvedComponent(name=name, type=kind_of, object=name, schema=schema)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(other)
        return own


def described(
    name: str,
    kind: type[msgspec.Struct] | None,
    result: dict[str, Any],
    *,
    errors: Sequence[int] = (400,),
    parameters: Sequence[OpenApiParameter] = (),
    legacy_errors: bool = False,
    tag: str | None = None,
) -> Callable[[F], F]:
    """Documents one call: what it takes inside "request", its `result`, and the HTTP statuses of its errors.

    kind: None for a call without a body. parameters: of the path and the query. legacy_errors: as the view says it.
    tag: the group it is shown in, where that is not the first word of its name.
    """
    error = _Raw("legacy.error", LEGACY_ERROR) if legacy_errors else _Raw("error", _enveloped("error", ERROR_RESULT))
    responses: dict[int, Any] = {200: _Raw(name, _enveloped(name, result))}
    responses |= dict.fromkeys((*errors, *((413,) if kind else ()), 503), error)
    decorate: Callable[[F], F] = extend_schema(
        operation_id=name,
        request={"application/json": _body(kind)} if kind else None,
        parameters=list(parameters),
        responses=responses,
        tags=[tag or name.split(".", maxsplit=1)[0]],
    )
    return decorate


@cache
def _body(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The whole body; one type for all calls that take `kind`, or the document would have two of one name."""
    return msgspec.defstruct(f"{kind.__name__}Body", [("request", kind), ("params", dict[str, Any] | None, None)])


class _Raw:
    """A schema written out, under a name, where drf-spectacular expects a serializer."""

    def __init__(self, name: str, schema: dict[str, Any]) -> None:
        self.name, self.schema = name, schema


class RawExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Lets a `_Raw` stand where a serializer is expected."""

    target_class = "common.openapi._Raw"

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        """The component's name: view.start -> ViewStartAnswer."""
        return "".join(part.capitalize() for part in self.target.name.split(".")) + "Answer"

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        """The schema as it was written: a copy, because drf-spectacular edits what it is given, on every request."""
        schema: dict[str, Any] = copy.deepcopy(self.target.schema)
        return schema


def _enveloped(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer whose `result` has the schema `result`."""
    nullable = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["id", "ver", "ts", "params", "responseCode", "result"],
        "properties": {
            "id": {"type": "string", "example": f"api.{name}"},
            "ver": {"type": "string", "enum": ["v1"]},
            "ts": {"type": "string", "example": "2021-06-23 05:37:40:575+0000"},
            "params": {
                "type": "object",
                "properties": {
                    "resmsgid": nullable,
                    "msgid": {"type": "string"},
                    "err": nullable,
                    "status": {"type": "string", "enum": ["success", "failed"]},
                    "errmsg": nullable,
                },
            },
            "responseCode": {"type": "string"},
            "result": result,
        },
    }


ERROR_RESULT = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "The fields to blame, each with its message; empty where no field is.",
}


_LEGACY = _enveloped("error", {"type": "object", "maxProperties": 0})
_LEGACY_PARAMS = {"status": {"type": "string", "description": "the error's code, as in err"}}
LEGACY_ERROR = {
    **_LEGACY,
    "properties": {
        **_LEGACY["properties"],
        "params": {"type": "object", "properties": _LEGACY["properties"]["params"]["properties"] | _LEGACY_PARAMS},
        "responseCode": {"type": "string", "enum": ["CLIENT_ERROR", "SERVER_ERROR"]},
    },
}


class EnvelopeSchema(AutoSchema):
    """DRF's schema for views whose parser takes JSON under any Content-Type."""

    def map_parsers(self) -> list[str]:
        """What a client should send."""
        return ["application/json"]
