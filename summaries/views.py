"""Enrolments and summaries over HTTP: shape in, one service call, result out."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common import timestamps
from common.errors import MissingField
from common.ids import check_id
from common.openapi import described
from common.rows import ContextKey
from common.wire import NAMES, body_fields, read_fields, to_input
from summaries import reading, services
from summaries.errors import MandatoryMissing
from summaries.inputs import EnrolInput, ProgramInput, SummaryInput, SummaryReadInput, list_query
from summaries.schemas import ENROLLED, LIST, LIST_PARAMETERS, READ, SUCCESS, UNENROLLED
from viewer.views import EnvelopeViewSet, caller_of

DONE = "SUCCESS"
MANDATORY = (("collectionId", "courseId/collectionId"), ("contextId", "batchId"), ("userId", "userId"))


class CourseViewSet(EnvelopeViewSet):
    """Enrolment in a course by the older calls' contract: their checks, codes, texts and error envelope."""

    api_ids = {"enroll": "api.course.enroll", "unenroll": "api.course.unenroll"}
    legacy_errors = True

    @described("course.enroll", EnrolInput, SUCCESS, errors=(400, 401), legacy_errors=True)
    @action(methods=["post"], detail=False)
    def enroll(self, request: Request) -> Response:
        """Enrols the learner into a course through one of its batches; what was viewed before counts from then on."""
        return self._change(request, services.enrol)

    @described("course.unenroll", EnrolInput, SUCCESS, errors=(400, 401), legacy_errors=True)
    @action(methods=["post"], detail=False)
    def unenroll(self, request: Request) -> Response:
        """Ends an enrolment that is not completed; enrolling again finds its progress."""
        return self._change(request, services.unenrol)

    def _change(self, request: Request, change: Callable[[ContextKey, datetime], None]) -> Response:
        change(_enrolment_key(request), timestamps.now())
        return Response({"response": DONE})


class ProgramViewSet(EnvelopeViewSet):
    """Enrolment in all collections of a program at once."""

    api_ids = {"enroll": "api.program.enroll", "unenroll": "api.program.unenroll"}

    @described("program.enroll", ProgramInput, ENROLLED, errors=(400, 401, 403))
    @action(methods=["post"], detail=False)
    def enroll(self, request: Request) -> Response:
        """Enrols into each collection of the program with its batch as context; after a crash, into the rest."""
        return Response({"response": DONE, "enrolled": services.enrol_program(*_program(request), timestamps.now())})

    @described("program.unenroll", ProgramInput, UNENROLLED, errors=(400, 401, 403))
    @action(methods=["post"], detail=False)
    def unenroll(self, request: Request) -> Response:
        """Ends the enrolments of the program that are not completed."""
        ended = services.unenrol_program(*_program(request), timestamps.now())
        return Response({"response": DONE, "unenrolled": ended})


class SummaryViewSet(EnvelopeViewSet):
    """How far a learner is in each enrolment."""

    api_ids = {"list_all": "api.summary.list", "read": "api.summary.read", "aggregate": "api.view.agg"}

    @described("summary.list", None, LIST, errors=(400, 401, 403), parameters=LIST_PARAMETERS)
    @action(methods=["get"], detail=False)
    def list_all(self, request: Request, user_id: str) -> Response:
        """One learner's enrolments, the one accessed last first; inactive ones too, told by `active`."""
        pairs = ((name, value) for name, values in request.query_params.lists() for value in values)
        return Response(reading.list_all(caller_of(request), user_id, list_query(pairs), timestamps.now()))

    @described("summary.read", SummaryReadInput, READ, errors=(400, 401, 403, 404))
    @action(methods=["post"], detail=False)
    def read(self, request: Request) -> Response:
        """One enrolment. The record stands in `result` and, for apps that look there, under `result.summary`."""
        given = to_input(body_fields(request), SummaryReadInput)
        return Response(reading.read(caller_of(request), given, timestamps.now()))

    @described("view.agg", SummaryInput, READ, errors=(400, 401, 403, 404))
    @action(methods=["post"], detail=False)
    def aggregate(self, request: Request) -> Response:
        """Adds everything of one context up anew, now, and answers its record."""
        given = to_input(body_fields(request), SummaryInput)
        return Response(reading.recompute(caller_of(request), given, timestamps.now()))


def _enrolment_key(request: Request) -> ContextKey:
    """The enrolment an older call names. Raises MandatoryMissing, in the older calls' order.

    With a token the learner is the token's, and a userId of the body is not even looked at.
    """
    caller = caller_of(request)
    inner = request.data.get("request") if isinstance(request.data, Mapping) else None
    if caller.user_id is None or not isinstance(inner, Mapping):
        fields = body_fields(request)
    else:
        fields = read_fields((name, value) for name, value in inner.items() if NAMES.get(name.lower()) != "userId")
    for name, told in MANDATORY:
        if name not in fields and not (name == "userId" and caller.user_id):
            raise MandatoryMissing(told)
    return ContextKey(caller.acts_for(fields.get("userId")), fields["collectionId"], fields["contextId"])


def _program(request: Request) -> tuple[str, str, str]:
    """The learner, the program and its batch. Raises MissingField, InvalidId and Forbidden."""
    fields = body_fields(request)
    user_id = caller_of(request).acts_for(fields.get("userId"))
    program_id = check_id("programId", fields.get("programId"))
    if program_id is None:
        raise MissingField("programId", "programId is required")
    batch_id: Any = fields.get("contextId")
    if batch_id is None:
        raise MissingField("batchId", "batchId is required")
    return user_id, program_id, batch_id
