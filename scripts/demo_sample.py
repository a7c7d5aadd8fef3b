"""The sample's rich course as the catalogue file tells it: read as plain JSON, nothing is taken from the service."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE_COURSE = "do_214157026482000001"
SAMPLE_BATCH = "0141570264820010"
COLLECTION_MIME_TYPE = "application/vnd.ekstep.content-collection"
LOAD_SAMPLE = "Load the sample with: manage.py load_catalogue catalogue/sample/catalogue.json"


@dataclass(frozen=True, slots=True)
class Unit:
    """A collection of the tree with its distinct leaves in course order. depth: 0 is the course itself."""

    id: str
    title: str
    depth: int
    leaves: tuple[str, ...]


def units_of(node: Mapping[str, Any], depth: int = 0, *, optional: bool = False) -> Iterator[Unit]:
    """The node and every collection below it, in course order."""
    notes = ["optional"] * optional + ["child course"] * (depth > 0 and node.get("contentType") == "Course")
    title = f"{node['name']} ({', '.join(notes)})" if notes else str(node["name"])
    yield Unit(str(node["identifier"]), title, depth, tuple(dict.fromkeys(_leaves(node))))
    flags = node.get("relationalMetadata", {})
    for child in _children(node):
        if child["mimeType"] == COLLECTION_MIME_TYPE:
            yield from units_of(child, depth + 1, optional=_is_optional(child, flags))


def required_leaves(node: Mapping[str, Any]) -> set[str]:
    """The leaves that must be completed: those that some way down the tree reaches without an optional step."""
    if node["mimeType"] != COLLECTION_MIME_TYPE:
        return {node["identifier"]}
    flags = node.get("relationalMetadata", {})
    counting = [child for child in _children(node) if not _is_optional(child, flags)]
    return {leaf for child in counting for leaf in required_leaves(child)}


def assessments(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The assessments of the course, as they stand in its tree, in course order."""
    if node["mimeType"] != COLLECTION_MIME_TYPE:
        return [node] if node["contentType"] == "SelfAssess" else []
    return [found for child in _children(node) for found in assessments(child)]


def _is_optional(child: Mapping[str, Any], flags: Mapping[str, Any]) -> bool:
    """Said of the child by its parent, or by the child itself."""
    of_parent = flags.get(child["identifier"], {}).get("optional")
    return bool(of_parent or child.get("relationalMetadata", {}).get("optional"))


def _leaves(node: Mapping[str, Any]) -> Iterator[str]:
    if node["mimeType"] != COLLECTION_MIME_TYPE:
        yield node["identifier"]
        return
    for child in _children(node):
        yield from _leaves(child)


def _children(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(node.get("children", ()), key=lambda child: int(child["index"]))


def sample_tree(sample: Path, collection_id: str) -> Mapping[str, Any]:
    """The collection's node in the catalogue file, which holds nodes and whole answers of the hierarchy API."""
    entries = json.loads(sample.read_text(encoding="utf-8"))["collections"]
    nodes: list[Mapping[str, Any]] = [entry.get("result", {}).get("content", entry) for entry in entries]
    return next(node for node in nodes if node["identifier"] == collection_id)
