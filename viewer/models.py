"""The SQL tables of the learner's state: the schema's source for SQLite and PostgreSQL.

Only the store adapter and the admin know them. Column names are the seeds' own, so a table's key differs in
spelling from the next one's (`userid`, `user_id`), as it does there. Keys are text: ids are opaque.
"""

from django.db import models

ID_LENGTH = 256


def _id() -> "models.CharField[str, str]":
    return models.CharField(max_length=ID_LENGTH)


class UserContentConsumption(models.Model):
    """One content's row of one learner in one context."""

    pk = models.CompositePrimaryKey("userid", "collectionid", "contextid", "contentid")
    userid = _id()
    collectionid = _id()
    contextid = _id()
    contentid = _id()
    status = models.SmallIntegerField(help_text="1 in progress, 2 completed")
    progress = models.SmallIntegerField(default=0, help_text="whole percent; 100 only when completed")
    progressdetails = models.JSONField(default=dict)
    timespent = models.FloatField(default=0.0, help_text="in seconds, exact up to completion")
    view_count = models.IntegerField(default=1)
    last_access_time = models.DateTimeField(null=True)
    last_completed_time = models.DateTimeField(null=True)
    last_updated_time = models.DateTimeField()
    own_completed_time = models.DateTimeField(null=True)
    origin = models.CharField(max_length=64, null=True, help_text="null: the learner's own")  # noqa: DJ001 - the seeds' column
    applied = models.JSONField(default=list, help_text="the last 32 events taken in: id, payload hash, epoch ms")
    version = models.IntegerField(default=1)

    class Meta:
        db_table = "user_content_consumption"


class AssessmentAggregator(models.Model):
    """One attempt at one assessment."""

    pk = models.CompositePrimaryKey("user_id", "collection_id", "context_id", "content_id", "attempt_id")
    user_id = _id()
    collection_id = _id()
    context_id = _id()
    content_id = _id()
    attempt_id = _id()
    created_on = models.DateTimeField()
    last_attempted_on = models.DateTimeField()
    updated_on = models.DateTimeField()
    grand_total = models.CharField(max_length=64)
    total_score = models.FloatField()
    total_max_score = models.FloatField()
    questions = models.JSONField(default=list)

    class Meta:
        db_table = "assessment_aggregator"


class UserActivityAgg(models.Model):
    """Everything folded about one learner in one context."""

    pk = models.CompositePrimaryKey("activity_type", "activity_id", "user_id", "context_id")
    activity_type = models.CharField(max_length=32, default="Course")
    activity_id = _id()
    user_id = _id()
    context_id = _id()
    agg = models.JSONField(default=dict, help_text="the seeds' map of rounded numbers")
    aggregates = models.JSONField(default=dict, help_text="the same numbers with their decimals")
    content_status = models.JSONField(default=dict)
    agg_details = models.JSONField(default=dict)
    agg_last_updated = models.JSONField(default=dict, help_text="epoch ms per key")
    kept = models.JSONField(default=dict, help_text="facts without rows: imported or archived")
    version = models.IntegerField(default=1)

    class Meta:
        db_table = "user_activity_agg"
        indexes = [models.Index(fields=["user_id"], name="activity_agg_by_user")]


class UserEnrolments(models.Model):
    """One learner's enrolment in one batch of one course (or program batch)."""

    pk = models.CompositePrimaryKey("userid", "courseid", "batchid")
    userid = _id()
    courseid = _id()
    batchid = _id()
    active = models.BooleanField(default=True)
    addedby = models.CharField(max_length=ID_LENGTH, null=True)  # noqa: DJ001 - null as the legacy table has it
    enrolled_date = models.DateTimeField(null=True)
    status = models.SmallIntegerField(default=0)
    progress = models.IntegerField(default=0, help_text="count of completed required leaves")
    completionpercentage = models.SmallIntegerField(default=0)
    completedon = models.DateTimeField(null=True)
    contentstatus = models.JSONField(default=dict)
    issued_certificates = models.JSONField(default=list)
    lastreadcontentid = models.CharField(max_length=ID_LENGTH, null=True)  # noqa: DJ001 - null: nothing read yet
    lastreadcontentstatus = models.SmallIntegerField(null=True)
    lastcontentaccesstime = models.DateTimeField(null=True)
    datetime = models.DateTimeField(null=True, help_text="of the last write")
    moved_to = models.CharField(  # noqa: DJ001 - null: nothing was moved away
        max_length=ID_LENGTH, null=True, help_text="context id that the progress was moved to"
    )
    version = models.IntegerField(default=1)

    class Meta:
        db_table = "user_enrolments"


class EnrolmentsByBatch(models.Model):
    """The same enrolments by batch, for reports: a batch is read without a scan."""

    pk = models.CompositePrimaryKey("batchid", "bucket", "enrolled_date", "userid", "courseid")
    batchid = _id()
    bucket = models.SmallIntegerField(help_text="0-63, from the user id: no partition grows with the batch alone")
    enrolled_date = models.DateTimeField()
    userid = _id()
    courseid = _id()
    active = models.BooleanField(default=True)
    status = models.SmallIntegerField(default=0)
    completionpercentage = models.SmallIntegerField(default=0)
    completedon = models.DateTimeField(null=True)
    issued_certificates = models.JSONField(default=list)

    class Meta:
        db_table = "enrolments_by_batch"


class UserContexts(models.Model):
    """Every place where a learner has progress, organic ones too; stays when rows are archived."""

    pk = models.CompositePrimaryKey("userid", "collectionid", "contextid")
    userid = _id()
    collectionid = _id()
    contextid = _id()

    class Meta:
        db_table = "user_contexts"


class Provenance(models.Model):
    """Why a row is where it is: one record for each carry, move and undo, per learner."""

    pk = models.CompositePrimaryKey("userid", "id")
    userid = _id()
    id = models.CharField(max_length=64)
    action = models.CharField(max_length=32)
    state = models.CharField(max_length=16, help_text="planned or done")
    recorded_at = models.DateTimeField()
    undone_at = models.DateTimeField(null=True)
    facts = models.JSONField(help_text="mode, rule and its version, evaluation time, source and target keys, trigger")

    class Meta:
        db_table = "provenance"


class StaleMarks(models.Model):
    """A learner's context whose aggregate is older than its rows. Durable: messages may be lost, marks may not."""

    pk = models.CompositePrimaryKey("userid", "collectionid", "contextid")
    userid = _id()
    collectionid = _id()
    contextid = _id()
    marked_at = models.DateTimeField(help_text="of the oldest reason that was not served yet")
    not_before = models.DateTimeField(null=True, help_text="a sweep leaves it alone until then")
    token = models.BigIntegerField(default=1, help_text="one more for each new reason")

    class Meta:
        db_table = "stale_marks"
        indexes = [models.Index(fields=["marked_at"], name="stale_marks_oldest_first")]


class Watermarks(models.Model):
    """How far a periodic job got."""

    name = models.CharField(primary_key=True, max_length=64)
    at = models.DateTimeField()

    class Meta:
        db_table = "watermarks"

    def __str__(self) -> str:
        return f"{self.name} {self.at}"


class Outbox(models.Model):
    """Events to publish at least once, written before the state that causes them."""

    id = models.CharField(primary_key=True, max_length=200)
    topic = models.CharField(max_length=64)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "outbox"
        indexes = [
            models.Index(fields=["created_at"], name="outbox_unpublished", condition=models.Q(published_at=None))
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"


class StatusMapState(models.Model):
    """Whether the status map in Redis may be used. There is at most one row, with the id 1; none: off."""

    id = models.SmallIntegerField(primary_key=True)
    phase = models.CharField(max_length=16, help_text="off, opening or on")
    epoch = models.IntegerField(help_text="part of every key; grows when the map is opened")
    servers = models.JSONField(help_text="identities of the Redis processes that hold it: run id, replication id")
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "status_map"

    def __str__(self) -> str:
        return f"{self.phase} {self.epoch}"
