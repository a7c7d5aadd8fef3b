"""What other apps are answered, at what cost, and how soon a reload is seen."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from catalogue import api
from catalogue.cache import HierarchyCache
from catalogue.hierarchy import COLLECTION_MIME_TYPE
from catalogue.loader import load as store
from catalogue.local import OrmCatalogue
from catalogue.reading import read
from catalogue.source import Tree


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def maths(*leaves):
    children = [{"identifier": leaf, "mimeType": "video/mp4"} for leaf in leaves]
    return {"identifier": "class-1-maths", "mimeType": COLLECTION_MIME_TYPE, "children": children}


def load(node):
    store(read(json.dumps(node)))


@pytest.mark.django_db
def test_a_hierarchy_costs_nothing_within_a_second(django_assert_num_queries):
    load(maths("single-digit-addition"))
    clock = Clock()
    cache = HierarchyCache(OrmCatalogue(), clock=clock)
    with django_assert_num_queries(1):  # the tree
        first = cache.get("class-1-maths")
    clock.seconds += 0.9
    with django_assert_num_queries(0):
        assert cache.get("class-1-maths") is first
    clock.seconds += 0.1
    with django_assert_num_queries(1):  # its version
        assert cache.get("class-1-maths") is first


@pytest.mark.django_db
def test_a_reload_by_another_process_is_seen_within_a_second():
    load(maths("single-digit-addition"))
    clock = Clock()
    cache = HierarchyCache(OrmCatalogue(), clock=clock)
    assert cache.get("class-1-maths").leaves == ("single-digit-addition",)
    load(maths("single-digit-addition", "double-digit-addition"))
    assert len(cache.get("class-1-maths").leaves) == 1
    clock.seconds += 1.0
    assert len(cache.get("class-1-maths").leaves) == 2


@pytest.mark.django_db
def test_a_reload_in_this_process_is_seen_at_once():
    assert api.hierarchy("class-1-maths") is None
    load(maths("single-digit-addition"))
    assert api.hierarchy("class-1-maths").leaves == ("single-digit-addition",)
    load(maths("double-digit-addition"))
    assert api.hierarchy("class-1-maths").leaves == ("double-digit-addition",)


@pytest.mark.django_db
def test_an_unknown_collection_is_asked_for_once_a_second(django_assert_num_queries):
    clock = Clock()
    cache = HierarchyCache(OrmCatalogue(), clock=clock)
    with django_assert_num_queries(1):
        assert cache.get("nowhere") is None
        assert cache.get("nowhere") is None
    clock.seconds += 1
    with django_assert_num_queries(1):
        assert cache.get("nowhere") is None


class OneTree:
    """A source of one tree that counts its answers and can be made to wait or to fail."""

    def __init__(self):
        self.asked = 0
        self.open = Event()
        self.open.set()
        self.broken = False

    def tree_version(self, collection_id):
        return "1"

    def tree(self, collection_id):
        self.asked += 1
        assert self.open.wait(5)
        if self.broken:
            raise ConnectionError
        return Tree("1", maths(collection_id))


def test_many_threads_parse_a_tree_once():
    source = OneTree()
    source.open.clear()
    cache = HierarchyCache(source, clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(cache.get, "class-1-maths") for _ in range(32)]
        source.open.set()
        assert len({id(answer.result()) for answer in answers}) == 1
    assert source.asked == 1


def test_the_least_used_tree_leaves_first():
    source = OneTree()
    cache = HierarchyCache(source, clock=Clock(), max_entries=2)
    for collection_id in ("a", "b", "a", "c", "a"):
        cache.get(collection_id)
    assert source.asked == 3
    cache.get("b")
    assert source.asked == 4


def test_a_source_that_fails_is_asked_again():
    source = OneTree()
    source.broken = True
    cache = HierarchyCache(source, clock=Clock())
    with pytest.raises(ConnectionError):
        cache.get("class-1-maths")
    source.broken = False
    assert cache.get("class-1-maths") is not None


@pytest.mark.django_db
def test_batched_questions_cost_one_query_for_500_ids(django_assert_num_queries):
    store(read(json.dumps({"learners": [{"userId": f"learner-{n}"} for n in range(501)]})))
    wanted = [f"learner-{n}" for n in range(501)]
    with django_assert_num_queries(1):
        assert len(api.profiles(wanted[:500] + wanted[:500])) == 500
    with django_assert_num_queries(2):
        assert len(api.profiles(wanted)) == 501
    with django_assert_num_queries(0):
        assert api.profiles([]) == {}


@pytest.mark.django_db
def test_unknown_ids_are_absent():
    assert api.collections(["nowhere"]) == {}
    assert api.batches(["nothing"]) == {}
    assert api.batch("nothing") is None
    assert api.program("nothing") is None
    assert api.profiles(["nobody"]) == {}


@pytest.mark.django_db
def test_collections_are_answered_without_their_trees(django_assert_num_queries):
    load(maths("single-digit-addition"))
    with django_assert_num_queries(1) as asked:
        facts = api.collections(["class-1-maths"])
    assert "hierarchy" not in asked.captured_queries[0]["sql"]
    assert dataclasses.is_dataclass(facts["class-1-maths"])


def test_all_public_names_exist():
    assert all(hasattr(api, name) for name in api.__all__)
