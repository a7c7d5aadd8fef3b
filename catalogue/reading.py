"""A catalogue file as checked rows: everything in it is judged here, and nothing is written.

Three kinds of file are taken: the catalogue file (`collections`, `batches`, `programs`, `learners`), one answer of
the hierarchy API, and one bare content node. Rows are mappings of our models' field names; `loader` stores them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from catalogue.entries import Entry, Problem, below, kind
from catalogue.hierarchy import child_nodes, is_child_course, is_leaf, node_id, trimmed

MAX_DEPTH = 100  # JSON is written and read by recursion; published trees have about five levels
_LISTS = ("collections", "batches", "programs", "learners")
_KNOWN_LISTS = {*_LISTS, "consents"}
_LEARNER_TEXTS = {
    "firstName": "first_name",
    "lastName": "last_name",
    "email": "email",
    "phone": "phone",
    "state": "state",
    "district": "district",
    "orgName": "org_name",
    "rootOrgId": "root_org_id",
    "schoolName": "school_name",
    "schoolUdiseCode": "school_udise_code",
    "block": "block",
    "cluster": "cluster",
    "userType": "user_type",
    "userSubType": "user_sub_type",
    "board": "board",
}

Row = dict[str, Any]
Rows = dict[str, Row]  # by id, in the order of the file


class BadCatalogueFile(Exception):
    """The file has something that cannot be loaded, so none of it is. `problems` names every such place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Document:
    """The rows of one file, by kind and id.

    child_courses: collections found expanded inside the trees of others, and not in the file themselves.
    notes: what was tolerated, one sentence each.
    """

    collections: Rows = field(default_factory=dict)
    child_courses: Rows = field(default_factory=dict)
    batches: Rows = field(default_factory=dict)
    programs: Rows = field(default_factory=dict)
    learners: Rows = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(text: str) -> Document:
    """The rows of a file's text. Raises BadCatalogueFile with every problem found."""
    return read_object(_parse(text))


def read_object(given: object) -> Document:
    """The rows of a file's object, as JSON gave it. Raises BadCatalogueFile with every problem found."""
    if not isinstance(given, dict):
        raise BadCatalogueFile([Problem("", f"the file must hold an object, not {kind(given)}")])
    reader = _Reader()
    reader.take(given)
    if reader.problems:
        raise BadCatalogueFile(reader.problems)
    return reader.document


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    except ValueError as error:
        message = f"not JSON: {error}"
    except RecursionError:
        message = "nested too deeply to be read"
    raise BadCatalogueFile([Problem("", message)])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


class _Reader:
    """Collects the rows and the problems of one file."""

    def __init__(self) -> None:
        self.document = Document()
        self.problems: list[Problem] = []
        self._places: dict[tuple[str, str], str] = {}

    def take(self, given: Mapping[str, Any]) -> None:
        """Read the file's object, whichever of the three kinds it is."""
        if "result" in given or "identifier" in given or "mimeType" in given:
            self._read_collection(given, "")
        elif not _KNOWN_LISTS & given.keys():
            self.problems.append(Problem("", f"nothing to load: none of {', '.join(_LISTS)}, and no hierarchy"))
        else:
            readers = (self._read_collection, self._read_batch, self._read_program, self._read_learner)
            for name, read_one in zip(_LISTS, readers, strict=True):
                self._read_list(name, given.get(name), read_one)
        for collection_id in self.document.collections:
            self.document.child_courses.pop(collection_id, None)

    def _read_list(self, name: str, entries: object, read_one: Callable[[Mapping[str, Any], str], None]) -> None:
        if entries is None:
            return
        if not isinstance(entries, list):
            self.problems.append(Problem(name, f"must be a list, not {kind(entries)}"))
            return
        for at, entry in enumerate(entries):
            place = f"{name}[{at}]"
            if isinstance(entry, dict):
                read_one(entry, place)
            else:
                self.problems.append(Problem(place, f"must be an object, not {kind(entry)}"))

    def _keep(self, rows: Rows, entry: Entry, key: str, row: Row) -> None:
        """Put the row under its id, which is its first field; a second one of the same id is a problem."""
        identifier = next(iter(row.values()))
        if identifier is None:
            return
        earlier = self._places.setdefault((key, identifier), entry.place)
        if identifier in rows:
            entry.refuse(key, f'"{identifier}" is already at {earlier}')
        else:
            rows[identifier] = row

    def _read_collection(self, given: Mapping[str, Any], place: str) -> None:
        if "result" in given and "identifier" not in given:
            result = given["result"]
            content = result.get("content") if isinstance(result, dict) else None
            place = below(place, "result.content")
            if not isinstance(content, dict):
                self.problems.append(Problem(place, "is missing: this answer holds no hierarchy"))
                return
            given = content
        entry = Entry(given, place, self.problems)
        if is_leaf(given):
            entry.refuse("mimeType", "is not a collection's")
        collection_id = entry.id("identifier")
        for nested in self._tree(entry):
            if collection_id:
                self._note_child_course(nested, collection_id)
        self._keep(self.document.collections, entry, "identifier", _collection_row(entry, collection_id, None))

    def _tree(self, root: Entry) -> Iterator[Entry]:
        """Every node below the root, judged: ids must be ids, children must be lists of objects."""
        nameless = 0
        stack = [(root, 0)]
        while stack:
            entry, depth = stack.pop()
            if entry is not root:
                nameless += not entry.has("identifier")
                entry.optional_id("identifier")
                yield entry
            if is_leaf(entry.given):
                continue
            if depth == MAX_DEPTH:
                entry.refuse("children", f"the tree is deeper than {MAX_DEPTH} levels")
                break
            stack.extend((child, depth + 1) for child in reversed(self._children(entry)))
        if nameless:
            where = root.place or "the hierarchy"
            self.document.notes.append(f"{where}: {nameless} nodes without identifier, only their children count")

    def _children(self, entry: Entry) -> list[Entry]:
        given = entry.given.get("children")
        if given is None:
            return []
        if not isinstance(given, list):
            entry.refuse("children", f"must be a list, not {kind(given)}")
            return []
        for at, child in enumerate(given):
            if not isinstance(child, dict):
                entry.refuse(f"children[{at}]", f"must be an object, not {kind(child)}")
        return [
            Entry(child, below(entry.place, f"children[{at}]"), self.problems)
            for at, child in enumerate(given)
            if isinstance(child, dict)
        ]

    def _note_child_course(self, entry: Entry, parent_id: str) -> None:
        node = entry.given
        identifier = node_id(node)
        if not identifier or identifier == parent_id or is_leaf(node):
            return
        if is_child_course(node) and child_nodes(node):
            # Its own texts are a by-product of another collection's answer: a bad one is dropped, not reported.
            tolerant = Entry(node, entry.place, [])
            row = _collection_row(tolerant, identifier, parent_id)
            self.document.child_courses.setdefault(identifier, row)

    def _read_batch(self, given: Mapping[str, Any], place: str) -> None:
        entry = Entry(given, place, self.problems)
        batch_id = entry.id("batchId")
        course_id, collection_id = entry.optional_id("courseId"), entry.optional_id("collectionId")
        if course_id and collection_id and course_id != collection_id:
            entry.refuse("collectionId", f'"{collection_id}" contradicts courseId "{course_id}"')
        of_collection = entry.has("courseId") or entry.has("collectionId")
        if of_collection == entry.has("programId"):
            told = "both a course and a program" if of_collection else "neither a course nor a program"
            entry.refuse("courseId", f"the batch names {told}")
        start, end = entry.days()
        row = {
            "batch_id": batch_id,
            "collection_id": course_id or collection_id,
            "program_id": entry.optional_id("programId"),
            "name": entry.text("name"),
            "status": entry.count("status", at_most=2),
            "enrollment_type": entry.text("enrollmentType"),
            "start_date": start,
            "end_date": end,
            "enrollment_end_date": entry.day("enrollmentEndDate"),
            "created_for": entry.ids("createdFor"),
        }
        self._keep(self.document.batches, entry, "batchId", row)

    def _read_program(self, given: Mapping[str, Any], place: str) -> None:
        entry = Entry(given, place, self.problems)
        program_id = entry.id("programId")
        start, end = entry.days()
        row = {
            "program_id": program_id,
            "name": entry.text("name"),
            "start_date": start,
            "end_date": end,
            "collections": entry.ids("collections"),
        }
        self._keep(self.document.programs, entry, "programId", row)

    def _read_learner(self, given: Mapping[str, Any], place: str) -> None:
        entry = Entry(given, place, self.problems)
        row: Row = {"user_id": entry.id("userId")}
        row |= {column: entry.text(key) for key, column in _LEARNER_TEXTS.items()}
        self._keep(self.document.learners, entry, "userId", row)


def _collection_row(entry: Entry, collection_id: str | None, parent_id: str | None) -> Row:
    return {
        "collection_id": collection_id,
        "name": entry.text("name"),
        "description": entry.text("description"),
        "logo": entry.text("appIcon"),
        "status": entry.text("status"),
        "channel": entry.text("channel"),
        "content_type": entry.text("contentType"),
        "primary_category": entry.text("primaryCategory"),
        "leaf_nodes_count": entry.count("leafNodesCount"),
        "version_key": entry.text("versionKey"),
        "hierarchy": trimmed(entry.given),
        "parent_id": parent_id,
    }
