"""The assessment calls over HTTP: shape in, one service call, result out."""

from typing import ClassVar

from common import timestamps
from common.api import ApiViewSet, Call, Result
from common.openapi import described
from common.wire import body_fields, to_input
from viewer import assessing
from viewer.inputs import AssessmentReadInput, SubmitInput
from viewer.schemas import ACK, ASSESSMENTS


class AssessmentViewSet(ApiViewSet):
    """Assessments: submit an attempt, read the attempts and their best."""

    # submit answers as the seeds show it: api.view.assess, under a path that says assessment.
    api_ids: ClassVar[dict[str, str]] = {"submit": "api.view.assess", "read": "api.assessment.read"}

    @described("view.assess", SubmitInput, ACK, errors=(400, 401, 403), tag="assessment")
    def submit(self, call: Call) -> Result:
        """Scores an attempt and completes its content. The same attempt sent again changes nothing."""
        fields = body_fields(call.body)
        given = to_input(fields, SubmitInput)
        now = timestamps.now()
        key = assessing.submit(call.caller, given, msgid=call.message_id, fields=fields, now=now)
        return {key.content_id: "SUCCESS"}

    @described("assessment.read", AssessmentReadInput, ASSESSMENTS, errors=(400, 401, 403))
    def read(self, call: Call) -> Result:
        """The best score of each content asked for, and every attempt, newest first, by pages."""
        given = to_input(body_fields(call.body), AssessmentReadInput)
        return assessing.read(call.caller, given, timestamps.now())
