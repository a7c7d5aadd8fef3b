"""Who is calling, and for which learner they may act.

`VIEWER_AUTH=off` (embedded default): nobody is asked, the userId of the request is believed.
`VIEWER_AUTH=jwt`: the learner is the token's subject, or the managed user that `x-authenticated-for` names, whose
token must say that its parent is that subject. An RS256 or ES256 signature by a PEM or a JWKS URL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication

from common.errors import Forbidden, ForbiddenOrigin, InvalidId, MissingField, Unauthorized, Unavailable
from common.hosts import is_loopback
from common.ids import check_id, plain_user_id

ALGORITHMS = ["RS256", "ES256"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `user_id` is the learner the caller acts for; None for any: an operator, or nobody is asked."""

    user_id: str | None

    @classmethod
    def operator(cls) -> "Caller":
        """Someone who may ask about any learner, whatever VIEWER_AUTH says: who lets him in has asked who he is."""
        return cls(None)

    def acts_for(self, claimed: str | None, field: str = "userId") -> str:
        """The learner this call is about.

        `claimed` is the userId in the body or the path, already checked as an id. Raises Forbidden when it names
        another learner than the caller's, and MissingField when neither the caller nor the request names one.
        """
        named = plain_user_id(claimed) if claimed else None
        if self.user_id is None:
            if named is None:
                raise MissingField(field, f"{field} is required")
            return named
        if named is not None and named != self.user_id:
            raise Forbidden(field, f"{field} is not the learner this token is for")
        return self.user_id


class KeySource(Protocol):
    """Where the key that should have signed a token comes from."""

    def key_for(self, token: str) -> Any:
        """The public key for `token`. Raises Unauthorized when no key fits, Unavailable when keys can't be had."""


class PemKey:
    """One public key, given in PEM form."""

    def __init__(self, pem: str) -> None:
        self._pem = pem

    def key_for(self, token: str) -> Any:
        """The one key there is."""
        return self._pem


class JwksKeys:
    """The key set behind a URL, as Keycloak publishes it: kept for 5 minutes, fetched anew for an unknown key id.

    Single keys are not cached beside the set: PyJWT keeps those for ever, and a key that was withdrawn would be
    trusted until the restart. Unknown ids ask at most once a second, whatever strangers send.
    """

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_keys=False, lifespan=300, timeout=5, cooldown_duration=1)

    def key_for(self, token: str) -> Any:
        """The key with the token's `kid`."""
        kid = str(jwt.get_unverified_header(token).get("kid"))
        try:
            return self._client.get_signing_key(kid).key
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, OSError, ValueError):
            raise Unavailable("The key server does not answer; try again") from None
        except jwt.PyJWKClientError:
            raise Unauthorized("The token was signed with an unknown key") from None


@cache
def key_source(pem: str, url: str) -> KeySource:
    """The one source of keys for these settings, shared by all requests of the process."""
    return JwksKeys(url) if url else PemKey(pem)


def read_token(token: str) -> dict[str, Any]:
    """The claims of a token we trust. Raises Unauthorized, saying what is wrong without repeating the token."""
    keys = key_source(settings.VIEWER_JWT_PUBLIC_KEY, settings.VIEWER_JWT_JWKS_URL)
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            keys.key_for(token),
            algorithms=ALGORITHMS,
            issuer=settings.VIEWER_JWT_ISSUER or None,
            audience=settings.VIEWER_JWT_AUDIENCE or None,
            leeway=settings.VIEWER_JWT_LEEWAY_SECONDS,
            options={"require": ["exp", "sub"], "verify_aud": bool(settings.VIEWER_JWT_AUDIENCE)},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthorized("The token has expired") from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthorized(f"The token has no {error.claim} claim") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        # PyJWTError: a key of another kind than the token's algorithm is no InvalidTokenError.
        raise Unauthorized("The token is not valid") from None
    return claims


def _subject(claims: Mapping[str, Any], claim: str = "sub") -> str:
    try:
        user_id = check_id(claim, claims.get(claim))
    except InvalidId:
        user_id = None
    if user_id is None:
        raise Unauthorized(f"The token's {claim} names nobody")
    return plain_user_id(user_id)


def _bearer(headers: Mapping[str, str]) -> str | None:
    """The learner's token: the Sunbird header wins, because behind its gateway Authorization is the app's key."""
    if token := headers.get("x-authenticated-user-token", "").strip():
        return token
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def caller_from(headers: Mapping[str, str]) -> Caller:
    """The caller these request headers prove. Raises Unauthorized."""
    token = _bearer(headers)
    if token is None:
        raise Unauthorized("A token is required: x-authenticated-user-token, or Authorization: Bearer")
    subject = _subject(read_token(token))
    managed = headers.get("x-authenticated-for", "").strip()
    if not managed:
        return Caller(subject)
    claims = read_token(managed)
    if _subject(claims, "parentId") != subject:
        raise Unauthorized("x-authenticated-for is for another parent than this token's subject")
    return Caller(_subject(claims))


def check_origin(request: HttpRequest) -> None:
    """Raises ForbiddenOrigin for a call by a web page of another host.

    While nobody is asked who they are, any page a person of this machine visits could write for any learner. Browsers
    tell where a page comes from; other clients say nothing and pass, as do pages of this machine.
    """
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None:
        return
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:  # half an IPv6 address
        host = ""
    if not is_loopback(host) and host != request.get_host().rsplit(":", 1)[0]:
        raise ForbiddenOrigin("Pages of other hosts may not call this instance while authentication is off")


def caller_of(request: HttpRequest) -> Caller:
    """Who sent this request. Raises Unauthorized and ForbiddenOrigin."""
    if settings.VIEWER_AUTH == "off":
        check_origin(request)
        return Caller(None)
    return caller_from(request.headers)


class LearnerToken(BaseAuthentication):
    """What the OpenAPI document looks for at every call of the API."""

    def authenticate(self, request: Any) -> tuple[Caller, None]:
        """As `caller_of`."""
        return caller_of(request), None


class CallerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the document tells it."""

    target_class = "common.identity.LearnerToken"
    name = "learnerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """A bearer JWT."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
