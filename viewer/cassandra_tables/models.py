"""The tables as django-cassandra-engine makes them. Data never goes through these classes (viewer/store/cassandra/).

Keys and names are the seeds'. Every map is frozen: it is replaced whole and leaves no tombstones. What the engine's
sync cannot say (compaction, time to live) is in the numbered files of `cql/`.
"""

from cassandra.cqlengine import columns
from cassandra.cqlengine.models import Model
from cassandra.cqlengine.usertype import UserType


def _text_map() -> columns.Map:
    return columns.Map(columns.Text, columns.Text, frozen=True)


def _text_maps() -> columns.List:
    return columns.List(columns.Map(columns.Text, columns.Text, frozen=True))


class Question(UserType):
    """One answered question (seed: assessment_aggregator.questions)."""

    __type_name__ = "question"
    id = columns.Text()
    assess_ts = columns.DateTime()
    max_score = columns.Double()
    score = columns.Double()
    type = columns.Text()
    title = columns.Text()
    resvalues = _text_maps()
    params = _text_maps()
    description = columns.Text()
    duration = columns.Decimal()


class UserContentConsumption(Model):
    """One partition per learner: his rows, and which of his contexts wait for a fold.

    marks: `<collection>/<context>` -> JSON of the mark; static, so that a row and its mark are one conditional write.
    write_id, marks_write_id: who wrote last; tells whether a write whose answer was lost took place.
    """

    __table_name__ = "user_content_consumption"
    userid = columns.Text(partition_key=True)
    collectionid = columns.Text(primary_key=True)
    contextid = columns.Text(primary_key=True)
    contentid = columns.Text(primary_key=True)
    marks = columns.Map(columns.Text, columns.Text, frozen=True, static=True)
    marks_version = columns.Integer(static=True)
    marks_write_id = columns.BigInt(static=True)
    status = columns.Integer()
    progress = columns.Integer()
    progressdetails = columns.Text()
    timespent = columns.Double()
    view_count = columns.Integer()
    last_access_time = columns.DateTime()
    last_completed_time = columns.DateTime()
    last_updated_time = columns.DateTime()
    own_completed_time = columns.DateTime()
    origin = columns.Text()
    applied = columns.Text()
    version = columns.Integer()
    write_id = columns.BigInt()


class AssessmentAggregator(Model):
    """Attempts, one partition per learner and collection (seed)."""

    __table_name__ = "assessment_aggregator"
    user_id = columns.Text(partition_key=True)
    collection_id = columns.Text(partition_key=True)
    context_id = columns.Text(primary_key=True)
    content_id = columns.Text(primary_key=True)
    attempt_id = columns.Text(primary_key=True)
    created_on = columns.DateTime()
    last_attempted_on = columns.DateTime()
    updated_on = columns.DateTime()
    grand_total = columns.Text()
    total_score = columns.Double()
    total_max_score = columns.Double()
    questions = columns.List(columns.UserDefinedType(Question), frozen=True)
    write_id = columns.BigInt()


class UserActivityAgg(Model):
    """Aggregates, one partition per learner and collection (seed)."""

    __table_name__ = "user_activity_agg"
    activity_type = columns.Text(partition_key=True)
    activity_id = columns.Text(partition_key=True)
    user_id = columns.Text(partition_key=True)
    context_id = columns.Text(primary_key=True)
    agg = columns.Map(columns.Text, columns.Integer, frozen=True)
    aggregates = columns.Map(columns.Text, columns.Double, frozen=True)
    content_status = columns.Map(columns.Text, columns.Integer, frozen=True)
    agg_details = _text_map()
    agg_last_updated = columns.Map(columns.Text, columns.DateTime, frozen=True)
    kept = _text_map()
    version = columns.Integer()
    write_id = columns.BigInt()


class UserEnrolments(Model):
    """Enrolments, one partition per learner. listed_date: under which date enrolments_by_batch has it."""

    __table_name__ = "user_enrolments"
    userid = columns.Text(partition_key=True)
    courseid = columns.Text(primary_key=True)
    batchid = columns.Text(primary_key=True)
    active = columns.Boolean()
    addedby = columns.Text()
    enrolled_date = columns.DateTime()
    listed_date = columns.DateTime()
    status = columns.Integer()
    progress = columns.Integer()
    completionpercentage = columns.Integer()
    completedon = columns.DateTime()
    contentstatus = columns.Map(columns.Text, columns.Integer, frozen=True)
    issued_certificates = columns.List(columns.Map(columns.Text, columns.Text, frozen=True), frozen=True)
    lastreadcontentid = columns.Text()
    lastreadcontentstatus = columns.Integer()
    lastcontentaccesstime = columns.DateTime()
    datetime = columns.DateTime()
    moved_to = columns.Text()
    version = columns.Integer()
    write_id = columns.BigInt()


class EnrolmentsByBatch(Model):
    """The same enrolments by batch, in 64 parts, each in the order of a report. completedon: 1970 means none."""

    __table_name__ = "enrolments_by_batch"
    batchid = columns.Text(partition_key=True)
    bucket = columns.Integer(partition_key=True)
    enrolled_date = columns.DateTime(primary_key=True)
    userid = columns.Text(primary_key=True)
    courseid = columns.Text(primary_key=True)
    active = columns.Boolean()
    status = columns.Integer()
    completionpercentage = columns.Integer()
    completedon = columns.DateTime()
    issued_certificates = columns.List(columns.Map(columns.Text, columns.Text, frozen=True), frozen=True)


class UserContexts(Model):
    """Every place where a learner has progress; stays when rows are archived."""

    __table_name__ = "user_contexts"
    userid = columns.Text(partition_key=True)
    collectionid = columns.Text(primary_key=True)
    contextid = columns.Text(primary_key=True)


class Provenance(Model):
    """Why a row is where it is: one record for each carry, move and undo, per learner."""

    __table_name__ = "provenance"
    userid = columns.Text(partition_key=True)
    id = columns.Text(primary_key=True)
    action = columns.Text()
    state = columns.Text()
    recorded_at = columns.DateTime()
    undone_at = columns.DateTime()
    facts = columns.Text()


class StaleMarks(Model):
    """Where a sweep looks for marks: by the minute in which they were made. The marks themselves are the learner's.

    slot: minutes since 1970. id: used once, so that no entry is ever mistaken for a later one.
    """

    __table_name__ = "stale_marks"
    slot = columns.BigInt(partition_key=True)
    bucket = columns.Integer(partition_key=True)
    userid = columns.Text(primary_key=True)
    collectionid = columns.Text(primary_key=True)
    contextid = columns.Text(primary_key=True)
    id = columns.BigInt(primary_key=True)


class DeferredMarks(Model):
    """Marks that wait for a collection to become known, by collection."""

    __table_name__ = "deferred_marks"
    collectionid = columns.Text(partition_key=True)
    bucket = columns.Integer(partition_key=True)
    userid = columns.Text(primary_key=True)
    contextid = columns.Text(primary_key=True)


class Watermarks(Model):
    """How far a periodic job got."""

    __table_name__ = "watermarks"
    name = columns.Text(partition_key=True)
    at = columns.DateTime()


class Outbox(Model):
    """Events to publish at least once, by their stable id."""

    __table_name__ = "outbox"
    id = columns.Text(partition_key=True)
    topic = columns.Text()
    payload = columns.Text()
    created_at = columns.DateTime()
    published_at = columns.DateTime()


class OutboxWaiting(Model):
    """The events nobody has published yet, the oldest first."""

    __table_name__ = "outbox_waiting"
    bucket = columns.Integer(partition_key=True)
    created_at = columns.DateTime(primary_key=True)
    id = columns.Text(primary_key=True)


class SchemaFiles(Model):
    """The numbered files of `cql/` that were run."""

    __table_name__ = "schema_files"
    name = columns.Text(partition_key=True)
    run_at = columns.DateTime()
