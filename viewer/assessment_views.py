"""The assessment calls over HTTP: shape in, one service call, result out."""

from typing import ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common import timestamps
from common.envelope import message_id
from common.openapi import described
from common.wire import body_fields, to_input
from viewer import assessing
from viewer.inputs import AssessmentReadInput, SubmitInput
from viewer.schemas import ACK, ASSESSMENTS
from viewer.views import EnvelopeViewSet, caller_of


class AssessmentViewSet(EnvelopeViewSet):
    """Assessments: submit an attempt, read the attempts and their best."""

    # submit answers as the seeds show it: api.view.assess, under a path that says assessment.
    api_ids: ClassVar[dict[str, str]] = {"submit": "api.view.assess", "read": "api.assessment.read"}

    @described("view.assess", SubmitInput, ACK, errors=(400, 401, 403), tag="assessment")
    @action(methods=["post"], detail=False)
    def submit(self, request: Request) -> Response:
        """Scores an attempt and completes its content. The same attempt sent again changes nothing."""
        fields = body_fields(request)
        given = to_input(fields, SubmitInput)
        now = timestamps.now()
        key = assessing.submit(caller_of(request), given, msgid=message_id(request), fields=fields, now=now)
        return Response({key.content_id: "SUCCESS"})

    @described("assessment.read", AssessmentReadInput, ASSESSMENTS, errors=(400, 401, 403))
    @action(methods=["post"], detail=False)
    def read(self, request: Request) -> Response:
        """The best score of each content asked for, and every attempt, newest first, by pages."""
        given = to_input(body_fields(request), AssessmentReadInput)
        return Response(assessing.read(caller_of(request), given, timestamps.now()))
