"""Every error a client can meet, mapped to the wire once.

    ViewerError
     +-- BadRequest 400
     |    +-- InvalidRequest          ERR_INVALID_REQUEST            not JSON, not an object, no "request" object
     |    +-- MissingField            ERR_MISSING_FIELD              a field the call needs is absent or blank
     |    +-- InvalidField            ERR_INVALID_FIELD              a field has the wrong type or range
     |    +-- InvalidId               ERR_INVALID_ID                 an id is too long or has characters no id may have
     |    +-- InvalidTime             ERR_INVALID_TIME               a time in none of the three formats
     |    +-- ConflictingIds          ERR_CONFLICTING_IDS            two names of one id carry different values
     |    +-- ContextWithoutCollection ERR_CONTEXT_WITHOUT_COLLECTION
     |    +-- NothingToRead           ERR_NOTHING_TO_READ            neither a content nor a collection
     |    +-- TooMany                 ERR_TOO_MANY                   a list longer than its limit
     |    +-- NoAnswers               ERR_NO_ANSWERS                 a submit without any ASSESS event
     |    +-- NotInCollection         ERR_NOT_IN_COLLECTION          an assessment the named collection does not have
     |    +-- TooManyQuestions        ERR_TOO_MANY_QUESTIONS         more questions answered than the content has
     |    +-- InvalidProgram          ERR_INVALID_PROGRAM            an unknown program, or one without collections
     +-- Unauthorized 401             ERR_UNAUTHORIZED               no valid token
     +-- Forbidden 403                ERR_FORBIDDEN_USER             another learner than the caller
     +-- ForbiddenOrigin 403          ERR_FORBIDDEN_ORIGIN           a web page elsewhere, while authentication is off
     +-- NotFound 404                 ERR_NOT_FOUND                  no such route or thing
     |    +-- ViewNotStarted          ERR_VIEW_NOT_STARTED           update or end before any start
     +-- MethodNotAllowed 405         ERR_METHOD_NOT_ALLOWED
     +-- Conflict 409
     |    +-- EventConflict           ERR_EVENT_CONFLICT             one event id, two contents
     +-- TooLarge 413                 ERR_BODY_TOO_LARGE
     +-- ServerError 500              ERR_INTERNAL                   ours; logged with its traceback, told without
          +-- Unavailable 503         ERR_STORE_UNAVAILABLE          a store does not answer; safe to try again

`docs/errors.md` is this table for clients, and a test keeps both equal.
"""

from collections.abc import Mapping


class ViewerError(Exception):
    """An error with a stable wire code. `fields` maps each field to blame to its message (empty when none is)."""

    http_status = 500
    response_code = "SERVER_ERROR"
    code = "ERR_INTERNAL"

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields: dict[str, str] = dict(fields or {})


class FieldError(ViewerError):
    """An error one field is to blame for: `FieldError("contentId", "contentId must be text")`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, {field: message})


class BadRequest(ViewerError):
    """The client sent something no retry of the same will cure."""

    http_status = 400
    response_code = "BAD_REQUEST"
    code = "ERR_INVALID_REQUEST"


class InvalidRequest(BadRequest):
    """The body is not JSON, not an object, or has no "request" object."""


class MissingField(FieldError, BadRequest):
    """A field the call cannot do without is absent or blank."""

    code = "ERR_MISSING_FIELD"


class InvalidField(FieldError, BadRequest):
    """A field has a type or a value that means nothing."""

    code = "ERR_INVALID_FIELD"


class InvalidId(FieldError, BadRequest):
    """An id is longer than 256 characters or holds a character no id may hold."""

    code = "ERR_INVALID_ID"


class InvalidTime(FieldError, BadRequest):
    """A time is neither epoch milliseconds, nor Sunbird's text, nor ISO 8601."""

    code = "ERR_INVALID_TIME"


class ConflictingIds(FieldError, BadRequest):
    """Two names of the same id (collectionId and courseId, say) carry different values."""

    code = "ERR_CONFLICTING_IDS"


class ContextWithoutCollection(FieldError, BadRequest):
    """A context was named without the collection it is a context of."""

    code = "ERR_CONTEXT_WITHOUT_COLLECTION"


class NothingToRead(FieldError, BadRequest):
    """A read named neither a content nor a collection."""

    code = "ERR_NOTHING_TO_READ"


class TooMany(FieldError, BadRequest):
    """A list is longer than the call takes; send it in parts."""

    code = "ERR_TOO_MANY"


class NoAnswers(FieldError, BadRequest):
    """A submit holds no ASSESS event: there is nothing to score, and nothing was completed."""

    code = "ERR_NO_ANSWERS"


class NotInCollection(FieldError, BadRequest):
    """An assessment was submitted in a collection whose tree is known and does not have it."""

    code = "ERR_NOT_IN_COLLECTION"


class TooManyQuestions(FieldError, BadRequest):
    """An attempt answers more different questions than its content has."""

    code = "ERR_TOO_MANY_QUESTIONS"


class InvalidProgram(FieldError, BadRequest):
    """A program that is not known here, or one that has no collections to enrol into."""

    code = "ERR_INVALID_PROGRAM"


class Unauthorized(ViewerError):
    """No token, or one that cannot be trusted."""

    http_status = 401
    response_code = "UNAUTHORIZED"
    code = "ERR_UNAUTHORIZED"


class Forbidden(FieldError):
    """The request names another learner than the caller may act for. Nothing was done."""

    http_status = 403
    response_code = "FORBIDDEN"
    code = "ERR_FORBIDDEN_USER"


class ForbiddenOrigin(ViewerError):
    """A web page of another host calls an instance that asks nobody who they are. Nothing was done."""

    http_status = 403
    response_code = "FORBIDDEN"
    code = "ERR_FORBIDDEN_ORIGIN"


class NotFound(ViewerError):
    """No such route or thing."""

    http_status = 404
    response_code = "RESOURCE_NOT_FOUND"
    code = "ERR_NOT_FOUND"


class ViewNotStarted(FieldError, NotFound):
    """An update or end came for a content that was never started here. Nothing was written."""

    code = "ERR_VIEW_NOT_STARTED"


class MethodNotAllowed(ViewerError):
    """The route exists, for another HTTP method."""

    http_status = 405
    response_code = "BAD_REQUEST"
    code = "ERR_METHOD_NOT_ALLOWED"


class Conflict(ViewerError):
    """The request contradicts what is stored."""

    http_status = 409
    response_code = "CONFLICT"
    code = "ERR_CONFLICT"


class EventConflict(FieldError, Conflict):
    """An event id that was applied before came again with other content."""

    code = "ERR_EVENT_CONFLICT"


class TooLarge(ViewerError):
    """The body is larger than the server takes."""

    http_status = 413
    response_code = "BAD_REQUEST"
    code = "ERR_BODY_TOO_LARGE"


class ServerError(ViewerError):
    """Something failed on our side. The log has the traceback; the client gets no detail."""


class Unavailable(ServerError):
    """A store does not answer. Nothing was acknowledged; the same request may be sent again."""

    http_status = 503
    code = "ERR_STORE_UNAVAILABLE"
