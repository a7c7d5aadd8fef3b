"""Every statement of the Cassandra store reads or writes one partition; and how many a call takes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cassandra.query import BatchStatement

from common.rows import ActivityAgg, Attempt, Consumption, ContextKey, Enrolment, RowKey, Status
from tests import cassandra_statements
from tests.contract.carry_contract import carry_of, undo_of
from tests.contract.moving_contract import whole
from tests.contract.race_contract import enrol, serve
from tests.contract.relocation_contract import begun, move_of
from tests.contract.store_contract import key_of
from tests.viewer.events import at, view
from viewer.lifecycle import Verb
from viewer.outbox import OutboxEvent
from viewer.store.cassandra import CassandraStore, queue, session
from viewer.store.port import ImportBatch, Store

Learner = Callable[..., str]


@pytest.fixture
def cassandra(_cassandra: None, _databases: None) -> CassandraStore:
    """The store on Cassandra, whose process has marked something before: the first time the sweep is given a place."""
    queue.ensure_place()
    return CassandraStore()


@pytest.fixture
def sent(cassandra: CassandraStore) -> Iterator[list[Any]]:
    """What the test sends from here on."""
    with cassandra_statements.recorded() as sent:
        yield sent


class Called:
    """The store, noting which of its methods were called."""

    def __init__(self, store: CassandraStore) -> None:
        self._store = store
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self._store, name)


def use_everything(store: Any, learner: Learner) -> None:
    """Calls every method of the port, so that each of its statements is sent."""
    key = RowKey(learner(), "class-1-maths", learner("batch"), "do_1")
    enrol(store, key)
    store.apply(key, view(Verb.START))
    store.apply(key, view(Verb.UPDATE, 1, timespent=1))
    store.apply_all(key.user_id, [(key, view(Verb.END, 2)), (key, view(Verb.START, 3))])
    assert [row.status for row in store.rows([key])] == [Status.COMPLETED]
    store.save_attempts([Attempt(key, "a-1", 4, 10, "4.0/10.0", at(1), at(1), at(1))], at(1))
    assert len(store.attempts([key])) == 1
    assert serve(store, key)
    store.apply(key, view(Verb.START, 4))
    sources = store.sources(key.context)
    assert store.sources_of([key.context]) == [sources]
    store.save_folds([])
    assert store.aggs([key.context])[key.context] == sources.agg
    assert store.contexts(key.user_id) == [key.context]
    assert store.contexts_after(None, 1)
    assert store.contexts_after(key.context, 1) is not None
    assert store.enrolments(key.user_id) == [store.enrolment(key.context)]
    assert len(list(store.batch_enrolments(key.context_id))) == 1
    store.mark(key.context, at(5))
    (mark,) = store.marks(key.user_id)
    assert store.marks_of([key.user_id]) == [mark]
    store.defer_mark(mark, at(6))
    store.undefer_marks([key.collection_id])
    store.oldest_marks(10, before=at(9), now=at(9))
    store.clear_marks([mark])
    name = learner("job")
    store.set_watermark(name, at(1))
    store.load_watermarks(store.watermarks())
    assert store.watermark(name) == at(1)
    event = OutboxEvent(learner("event"), "test", {}, at(1))
    store.load_outbox([(event, None)])
    assert store.outbox_entries([event.id]) == [(event, None)]
    assert store.outbox_after(None, 1)
    assert event.id in [one.id for one in store.unpublished(100_000)]
    store.mark_published([event.id], at(2))
    rows = [Consumption(key._replace(content_id="do_2"), Status.IN_PROGRESS, 40, at(1), at(1))]
    agg = ActivityAgg(key.context, kept={"do_3": {"by": "import", "status": 2}}, version=1)
    again = Enrolment(*key.context, enrolled_date=at(-9), updated_at=at(9))
    store.import_rows(ImportBatch(at=at(9), rows=rows, aggs=[agg], enrolments=[again]))
    carry = carry_of(key._replace(content_id="do_4"), 0, "p-1", "a-1")
    assert store.carry([carry], at(30)) == [True]
    lost = carry_of(key._replace(content_id="do_5"), 1, "p-1")
    assert store.carry([lost], at(30)) == [False]
    assert store.provenance(key.user_id) == [carry.record]
    assert carry.row in store.all_rows(key.user_id)
    assert carry.attempts[0] in store.attempts_in([key.context])
    assert store.take_back(undo_of(carry), at(60))
    store.keep_record(replace(carry.record, id="p-2"))
    assert store.move_rows(move_of(store.rows([key])), at(61))
    store.remove_attempts(store.attempts([key]), at(62))
    assert (store.rows([key]), store.attempts([key])) == ([], [])
    dump = whole(learner())
    store.load(dump)
    assert store.dump(dump.user_id) == dump
    assert store.learners_after(None, 1)


def test_no_statement_leaves_its_partition(cassandra: CassandraStore, sent: list[Any], learner: Learner) -> None:
    called = Called(cassandra)
    use_everything(called, learner)
    methods = {name for name in vars(Store) if not name.startswith("_")}
    assert methods <= called.names
    texts = set(cassandra_statements.texts(sent))
    assert len(texts) > 40
    assert {text: told for text in texts if (told := cassandra_statements.fault(text))} == {}


def test_every_read_is_paged(cassandra: CassandraStore, sent: list[Any], learner: Learner) -> None:
    use_everything(cassandra, learner)
    assert {one.fetch_size for one in sent if not isinstance(one, BatchStatement)} == {session.PAGE, queue.ENTRIES}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM viewer.user_content_consumption WHERE collectionid = ? ALLOW FILTERING",
        "SELECT a FROM viewer.user_content_consumption",
        "SELECT a FROM viewer.user_activity_agg WHERE activity_type = ? AND activity_id = ?",
        "DELETE FROM viewer.assessment_aggregator WHERE user_id = ?",
        "UPDATE viewer.user_content_consumption SET status = ? WHERE contentid = ? IF userid = ?",
        "INSERT INTO viewer.enrolments_by_batch (batchid, userid) VALUES (?, ?)",
        "SELECT DISTINCT userid FROM viewer.user_contexts",
    ],
)
def test_the_check_finds_what_it_looks_for(text: str) -> None:
    assert cassandra_statements.fault(text)


def shapes(sent: list[Any]) -> list[str]:
    """Each statement in a word; `if` for a conditional one, with how many a batch holds."""
    told = []
    for statement in sent:
        texts = cassandra_statements.texts([statement])
        verb = texts[0].split()[0].lower()
        told.append(f"if x{len(texts)}" if " IF " in texts[0] else verb)
    return told


def test_what_single_calls_cost(cassandra: CassandraStore, sent: list[Any], learner: Learner) -> None:
    key = key_of(learner())
    reads = ["select"] * 3  # the learner's marks, the row, and what only its aggregate keeps: one round trip

    def cost(verb: Verb, minute: float) -> list[str]:
        sent.clear()
        cassandra.apply(key, view(verb, minute, timespent=float(minute)))
        return shapes(sent)

    # A first start also tells the sweep where to look, and where the learner is: one round trip. Then row and mark.
    assert cost(Verb.START, 1) == [*reads, "insert", "insert", "if x2"]
    assert cost(Verb.UPDATE, 2) == [*reads, "if x1"]
    assert cost(Verb.END, 3) == [*reads, "if x2"]
    sent.clear()
    contexts = [ContextKey(key.user_id, key.collection_id, key.context_id)]
    cassandra.sources_of(contexts)
    assert shapes(sent) == ["select"] * 4


def test_what_a_carry_costs(cassandra: CassandraStore, sent: list[Any], learner: Learner) -> None:
    carry, scored = carry_of(key_of(learner())), carry_of(key_of(learner()), 0, "p-1", "a-1")
    reads = ["select"] * 2  # the learner's marks and the row: one round trip
    # The record is read with them and planned; then as any first start; then it is done.
    cost = [*reads, "select", "insert", *reads, "insert", "insert", "if x2", "insert"]
    assert cassandra.carry([carry], at(30)) == [True]
    assert shapes(sent) == cost
    sent.clear()
    # Attempts: registered, marked (a line for the sweep first), read and added before the row; read once more after it.
    attempts = ["insert", "select", "insert", "if x1", "select", "if x1"]
    assert cassandra.carry([scored], at(30)) == [True]
    assert shapes(sent) == [*cost[:4], *attempts, *reads, "insert", "if x2", "select", "insert"]


def test_what_a_move_costs(cassandra: CassandraStore, sent: list[Any], learner: Learner) -> None:
    user_id = learner()
    sources = begun(cassandra, user_id, [f"do_{number}" for number in range(50)])
    sent.clear()
    assert cassandra.move_rows(move_of(sources), at(30))
    # The marks and the rows of both places; a line for the sweep of each context, and the new context; then one write.
    assert shapes(sent) == ["select"] * 2 + ["insert"] * 3 + ["if x101"]


def test_a_sync_is_one_conditional_write_however_many_events(
    cassandra: CassandraStore, sent: list[Any], learner: Learner
) -> None:
    user_id = learner()
    keys = [key_of(user_id, f"do_{number}") for number in range(50)]
    cassandra.apply_all(user_id, [(key, view(verb)) for key in keys for verb in (Verb.START, Verb.END)])
    assert shapes(sent) == ["select"] * 3 + ["insert"] * 2 + ["if x51"]
