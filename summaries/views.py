"""Enrolments and summaries over HTTP: shape in, one service call, result out."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header

from common import timestamps
from common.api import ApiViewSet, Call, Result, fetched
from common.errors import Forbidden, MissingField
from common.ids import check_id
from common.openapi import described
from common.rows import ContextKey
from common.wire import NAMES, body_fields, read_fields, to_input
from summaries import downloads, explaining, reading, services, whatif
from summaries.errors import MandatoryMissing
from summaries.inputs import (
    EnrolInput,
    ParticipantsInput,
    ProgramInput,
    SummaryInput,
    SummaryReadInput,
    WhatIfInput,
    list_query,
)
from summaries.schemas import (
    DOWNLOAD_PARAMETERS,
    ENROLLED,
    EXPLAIN_PARAMETERS,
    EXPLANATION,
    EXPORT_PARAMETERS,
    LINK,
    LIST,
    LIST_PARAMETERS,
    PARTICIPANTS,
    READ,
    SUCCESS,
    UNENROLLED,
    WHAT_IF,
)

DONE = "SUCCESS"
MANDATORY = (("collectionId", "courseId/collectionId"), ("contextId", "batchId"), ("userId", "userId"))


class CourseViewSet(ApiViewSet):
    """Enrolment in a course by the older calls' contract: their checks, codes, texts and error envelope."""

    api_ids = {"enroll": "api.course.enroll", "unenroll": "api.course.unenroll"}
    legacy_errors = True

    @described("course.enroll", EnrolInput, SUCCESS, errors=(400, 401), legacy_errors=True)
    def enroll(self, call: Call) -> Result:
        """Enrols the learner into a course through one of its batches; what was viewed before counts from then on."""
        return self._change(call, services.enrol)

    @described("course.unenroll", EnrolInput, SUCCESS, errors=(400, 401), legacy_errors=True)
    def unenroll(self, call: Call) -> Result:
        """Ends an enrolment that is not completed; enrolling again finds its progress."""
        return self._change(call, services.unenrol)

    def _change(self, call: Call, change: Callable[[ContextKey, datetime], None]) -> Result:
        change(_enrolment_key(call), timestamps.now())
        return {"response": DONE}


class ProgramViewSet(ApiViewSet):
    """Enrolment in all collections of a program at once."""

    api_ids = {"enroll": "api.program.enroll", "unenroll": "api.program.unenroll"}

    @described("program.enroll", ProgramInput, ENROLLED, errors=(400, 401, 403))
    def enroll(self, call: Call) -> Result:
        """Enrols into each collection of the program with its batch as context; after a crash, into the rest."""
        return {"response": DONE, "enrolled": services.enrol_program(*_program(call), timestamps.now())}

    @described("program.unenroll", ProgramInput, UNENROLLED, errors=(400, 401, 403))
    def unenroll(self, call: Call) -> Result:
        """Ends the enrolments of the program that are not completed."""
        ended = services.unenrol_program(*_program(call), timestamps.now())
        return {"response": DONE, "unenrolled": ended}


class BatchViewSet(ApiViewSet):
    """Who is in a batch: for operators and services, by the older calls' contract."""

    api_ids = {"participants": "api.batch.participants.list"}
    legacy_errors = True

    @described("batch.participants", ParticipantsInput, PARTICIPANTS, errors=(400, 401, 403), legacy_errors=True)
    def participants(self, call: Call) -> Result:
        """The learners of a batch by when they enrolled, a page at a time. A learner's own token is refused."""
        if call.caller.user_id is not None:
            raise Forbidden("userId", "A learner is not told who else is in a batch")
        given = to_input(_batch_fields(call.body), ParticipantsInput)
        found, following = services.participants(
            given.context_id, active=given.active, limit=given.limit, offset=given.offset
        )
        return {"batch": {"batchId": given.context_id, "count": len(found), "participants": found, "next": following}}


class SummaryViewSet(ApiViewSet):
    """How far a learner is in each enrolment."""

    api_ids = {
        "list_all": "api.summary.list",
        "download": "api.summary.download",
        "export": "api.summary.export",
        "read": "api.summary.read",
        "aggregate": "api.view.agg",
        "explain": "api.summary.explain",
        "whatif": "api.summary.whatif",
    }
    tagged = frozenset({"list_all"})

    @described("summary.list", None, LIST, errors=(400, 401, 403), parameters=LIST_PARAMETERS)
    def list_all(self, call: Call, user_id: str) -> Result:
        """One learner's enrolments, the one accessed last first; inactive ones too, told by `active`."""
        pairs = ((name, value) for name, values in call.http.GET.lists() for value in values)
        return reading.list_all(call.caller, user_id, list_query(pairs), timestamps.now())

    @described("summary.download", None, LINK, errors=(400, 401, 403), parameters=DOWNLOAD_PARAMETERS)
    def download(self, call: Call, user_id: str) -> Result:
        """A link to the learner's summary as a file, in csv or json (the default), which soon expires."""
        return {"url": _file_url(call, downloads.link(call.caller, user_id, call.http.GET.get("format")))}

    @described("summary.export", None, LINK, errors=(400, 401, 403), parameters=EXPORT_PARAMETERS)
    def export(self, call: Call, user_id: str) -> Result:
        """A link to an archive with everything stored of the learner, table by table, which soon expires."""
        return {"url": _file_url(call, downloads.export_link(call.caller, user_id))}

    @described("summary.read", SummaryReadInput, READ, errors=(400, 401, 403, 404))
    def read(self, call: Call) -> Result:
        """One enrolment. The record stands in `result` and, for apps that look there, under `result.summary`."""
        given = to_input(body_fields(call.body), SummaryReadInput)
        return reading.read(call.caller, given, timestamps.now())

    @described("summary.explain", None, EXPLANATION, errors=(400, 401, 403, 404), parameters=EXPLAIN_PARAMETERS)
    def explain(self, call: Call) -> Result:
        """Why an enrolment is as far as it is: what counts, what is missing, what was carried."""
        pairs = ((name, value) for name, values in call.http.GET.lists() for value in values)
        return explaining.explain(call.caller, to_input(read_fields(pairs), SummaryInput), timestamps.now())

    @described("summary.whatif", WhatIfInput, WHAT_IF, errors=(400, 401, 403))
    def whatif(self, call: Call) -> Result:
        """What each enrolment's progress would be under another mode or other rules. Changes nothing."""
        fields = body_fields(call.body)
        own = {name: value for name, value in call.body["request"].items() if name in {"mode", "rules"}}
        return whatif.what_if(call.caller, to_input({**fields, **own}, WhatIfInput), timestamps.now())

    @described("view.agg", SummaryInput, READ, errors=(400, 401, 403, 404))
    def aggregate(self, call: Call) -> Result:
        """Adds everything of one context up anew, now, and answers its record."""
        given = to_input(body_fields(call.body), SummaryInput)
        return reading.recompute(call.caller, given, timestamps.now())


def _file_url(call: Call, path: str) -> str:
    """In the family of paths the call came by: a gateway may let only that one through."""
    family = "/api/summary/v1" if call.http.path.startswith("/api/") else "/v1/summary"
    return call.http.build_absolute_uri(f"{family}/file/{path}")


@fetched("api.summary.download")
def download_file(request: HttpRequest, token: str) -> HttpResponse:
    """The file a link leads to. No token is asked for: the link is one."""
    file = downloads.file_of(token.partition("/")[0], timestamps.now())
    headers = {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=file.name),
        "Cache-Control": "private, no-store",
    }
    return HttpResponse(file.content, content_type=file.media_type, headers=headers)


def _batch_fields(body: Any) -> dict[str, Any]:
    """The fields of the request, those inside its `batch` too. Raises MandatoryMissing."""
    fields = body_fields(body)
    inner = body["request"].get("batch")
    if isinstance(inner, Mapping):
        fields |= read_fields(inner.items())
    if "contextId" not in fields:
        raise MandatoryMissing("batchId")
    return fields


def _enrolment_key(call: Call) -> ContextKey:
    """The enrolment an older call names. Raises MandatoryMissing, in the older calls' order.

    With a token the learner is the token's, and a userId of the body is not even looked at.
    """
    inner = call.body.get("request") if isinstance(call.body, Mapping) else None
    if call.caller.user_id is None or not isinstance(inner, Mapping):
        fields = body_fields(call.body)
    else:
        fields = read_fields((name, value) for name, value in inner.items() if NAMES.get(name.lower()) != "userId")
    for name, told in MANDATORY:
        if name not in fields and not (name == "userId" and call.caller.user_id):
            raise MandatoryMissing(told)
    return ContextKey(call.caller.acts_for(fields.get("userId")), fields["collectionId"], fields["contextId"])


def _program(call: Call) -> tuple[str, str, str]:
    """The learner, the program and its batch. Raises MissingField, InvalidId and Forbidden."""
    fields = body_fields(call.body)
    user_id = call.caller.acts_for(fields.get("userId"))
    program_id = check_id("programId", fields.get("programId"))
    if program_id is None:
        raise MissingField("programId", "programId is required")
    batch_id: Any = fields.get("contextId")
    if batch_id is None:
        raise MissingField("batchId", "batchId is required")
    return user_id, program_id, batch_id
