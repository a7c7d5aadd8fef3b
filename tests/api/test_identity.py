"""Who may do what (DESIGN §4): tokens by PEM and by key set, managed learners, and nothing done for a stranger."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests import servers
from tests.api.tokens import Key, KeyServer, forged, key_server
from tests.api.wire import BATCH, CALLS, END, MATHS, READ, SINGLE, START, UPDATE, place, refusal, sync, view
from tests.servers import Server

Learner = Callable[..., str]
ISSUER, AUDIENCE = "https://sunbird.example/auth/realms/sunbird", "viewer"


@pytest.fixture(scope="module")
def key() -> Key:
    """The instance's RS256 key."""
    return Key.rsa()


@pytest.fixture(scope="module")
def stranger() -> Key:
    """A key nobody published."""
    return Key.rsa()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Server]:
    """A server that trusts one RS256 key."""
    folder = tmp_path_factory.mktemp("guarded")
    with servers.running(folder, VIEWER_AUTH="jwt", VIEWER_JWT_PUBLIC_KEY=key.pem) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sunbird(token: str) -> dict[str, str]:
    return {"x-authenticated-user-token": token}


def status_of(server: Server, key: Key, user: str, **where: str) -> int:
    """How far `user` is with single-digit-addition in batch-1, asked with the user's own token."""
    read = {"collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE, **where}
    found: int = view(server, read, headers=bearer(key.token(user)))["status"]
    return found


def refused(answer: httpx.Response, message: str | None = None) -> None:
    body = refusal(answer, 401, "ERR_UNAUTHORIZED")
    assert body["responseCode"] == "UNAUTHORIZED"
    assert body["result"] == {}
    assert answer.headers["www-authenticate"] == "Bearer"
    if message:
        assert body["params"]["errmsg"] == message


# --- good tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [bearer, sunbird], ids=["Authorization", "x-authenticated-user-token"])
def test_token_says_who_the_learner_is(
    guarded: Server, key: Key, learner: Learner, header: Callable[[str], dict[str, str]]
) -> None:
    user = learner()
    request = {"collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE}
    headers = header(key.token(user))
    guarded.result(START, request, headers=headers)
    guarded.result(UPDATE, request, headers=headers)
    guarded.result(END, request, headers=headers)
    result = guarded.result(READ, request, headers=headers)
    assert result["userId"] == user
    assert status_of(guarded, key, user) == 2


def test_sunbirds_own_header_wins_over_authorization(guarded: Server, key: Key, learner: Learner) -> None:
    """Behind Sunbird's gateway Authorization carries the app's key, not the learner's."""
    rahul, meera = learner("rahul"), learner("meera")
    for other in (key.token(meera), "an-app-key-that-is-no-jwt"):
        headers = bearer(other) | sunbird(key.token(rahul))
        assert guarded.result(READ, {"contentId": SINGLE}, headers=headers)["userId"] == rahul
    refused(guarded.call(READ, {"contentId": SINGLE}, headers=bearer(key.token(meera)) | sunbird("rubbish")))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_scheme_is_read_in_any_case(guarded: Server, key: Key, learner: Learner, scheme: str) -> None:
    headers = {"Authorization": f"{scheme}  {key.token(learner())}"}
    guarded.result(READ, {"contentId": SINGLE}, headers=headers)


def test_federated_subject_means_its_last_part(guarded: Server, key: Key, learner: Learner) -> None:
    user = learner()
    headers = bearer(key.token(f"f:keycloak-provider:{user}"))
    assert guarded.result(START, place(user), headers=headers) == {SINGLE: "Progress started"}
    assert status_of(guarded, key, user) == 1


def test_token_that_expired_within_the_leeway_is_taken(guarded: Server, key: Key, learner: Learner) -> None:
    headers = bearer(key.token(learner(), exp=int(time.time()) - 5))
    guarded.result(READ, {"contentId": SINGLE}, headers=headers)


# --- bad tokens -----------------------------------------------------------------------------------------------------

MINUTES = 60
BAD_TOKENS: dict[str, tuple[Callable[[Key, Key, str], str], str | None]] = {
    "expired": (lambda key, _, user: key.token(user, exp=int(time.time()) - 10 * MINUTES), "The token has expired"),
    "not yet valid": (lambda key, _, user: key.token(user, nbf=int(time.time()) + 10 * MINUTES), None),
    "no exp": (lambda key, _, user: key.token(user, exp=None), "The token has no exp claim"),
    "exp is text": (lambda key, _, user: key.token(user, exp="tomorrow"), None),
    "exp is a list": (lambda key, _, user: key.token(user, exp=[]), None),
    "exp is beyond numbers": (lambda key, _, user: key.token(user, exp=float("inf")), None),
    "no sub": (lambda key, _, user: key.token(None), "The token has no sub claim"),
    "empty sub": (lambda key, _, user: key.token(""), "The token's sub names nobody"),
    "blank sub": (lambda key, _, user: key.token("  "), "The token's sub names nobody"),
    "sub is a number": (lambda key, _, user: key.token(5), None),
    "sub is a list": (lambda key, _, user: key.token([user]), None),
    "sub no id could be": (lambda key, _, user: key.token(f"{user}/../x"), "The token's sub names nobody"),
    "sub too long": (lambda key, _, user: key.token("x" * 300), "The token's sub names nobody"),
    "key of a stranger": (lambda _, stranger, user: stranger.token(user), "The token is not valid"),
    "another algorithm": (lambda key, _, user: Key.ec().token(user), "The token is not valid"),
    "alg none": (lambda key, _, user: forged({"alg": "none"}, {"sub": user, "exp": 2**40}), None),
    "alg None with our signature": (lambda key, _, user: _resigned(key.token(user), "none"), None),
    "HS256 signed with the public key": (lambda key, _, user: _hmac(key, user), None),
    "alg missing": (lambda key, _, user: forged({}, {"sub": user, "exp": 2**40}, b"x"), None),
    "alg is a number": (lambda key, _, user: forged({"alg": 5}, {"sub": user}, b"x"), None),
    "header is a list": (lambda key, _, user: forged([], {"sub": user}, b"x"), None),
    "header far too deep": (lambda key, _, user: _deep(), None),
    "kid is a number": (lambda key, _, user: forged({"alg": "RS256", "kid": 5}, {"sub": user}, b"x"), None),
    "critical extension": (lambda key, _, user: forged({"alg": "RS256", "crit": ["b64"]}, {"sub": user}, b"x"), None),
    "signature cut off": (lambda key, _, user: key.token(user).rsplit(".", 1)[0] + ".", None),
    "payload of another": (lambda key, _, user: _swapped(key, user), None),
    "two parts": (lambda key, _, user: "a.b", None),
    "garbage": (lambda key, _, user: "garbage", None),
    "dots": (lambda key, _, user: "...", None),
    "not ASCII": (lambda key, _, user: "\xe9.\xff.\xfe", None),
    "very long": (lambda key, _, user: "x" * 6000, None),
}


def _hmac(key: Key, user: str) -> str:
    """The classic forgery: the public key's text as the secret of a symmetric signature."""
    unsigned = forged({"alg": "HS256", "typ": "JWT"}, {"sub": user, "exp": 2**40}).rsplit(".", 1)[0]
    signature = hmac.new(key.pem.encode(), unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{jwt.utils.base64url_encode(signature).decode()}"


def _resigned(token: str, algorithm: str) -> str:
    _, payload, signature = token.split(".")
    return f"{forged({'alg': algorithm}, {}).split('.', 1)[0]}.{payload}.{signature}"


def _swapped(key: Key, user: str) -> str:
    header, _, signature = key.token("somebody").split(".")
    return f"{header}.{key.token(user).split('.')[1]}.{signature}"


def _deep() -> str:
    return jwt.utils.base64url_encode(b"[" * 4000).decode() + ".e30.eA"


@pytest.mark.parametrize("header", [bearer, sunbird], ids=["Authorization", "x-authenticated-user-token"])
@pytest.mark.parametrize(("make", "message"), BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_bad_token_is_401_and_nothing_is_written(
    guarded: Server,
    key: Key,
    stranger: Key,
    learner: Learner,
    make: Callable[[Key, Key, str], str],
    message: str | None,
    header: Callable[[str], dict[str, str]],
) -> None:
    user = learner()
    token = make(key, stranger, user)
    raw = {name: value.encode("latin-1") for name, value in header(token).items()}
    answer = guarded.call(START, place(user), headers=raw)
    refused(answer, message)
    if len(token) > 20:
        assert token not in answer.text
    assert status_of(guarded, key, user) == 0


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic dTpw"},
     {"x-authenticated-user-token": ""}, {"x-authenticated-userid": "rahul"}],
    ids=str,
)  # fmt: skip
def test_without_a_token_every_call_is_401(guarded: Server, path: str, headers: dict[str, str]) -> None:
    answer = guarded.call(path, place("rahul", force=True, events=[]), headers=headers)
    refused(answer, "A token is required: x-authenticated-user-token, or Authorization: Bearer")


def test_stranger_learns_nothing_from_a_broken_body(guarded: Server) -> None:
    refused(guarded.client.post(START, content=b"{"))


@pytest.mark.parametrize("path", ["/health", "/ready", "/schema", "/docs"])
def test_what_operators_and_developers_need_is_open(guarded: Server, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


# --- another learner's userId ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", " {} ", "f:keycloak:{}"])
@pytest.mark.parametrize("path", CALLS)
def test_own_user_id_in_the_body_is_fine(guarded: Server, key: Key, learner: Learner, path: str, form: str) -> None:
    user = learner()
    headers = bearer(key.token(user))
    guarded.result(START, place(user), headers=headers)
    guarded.result(path, place(form.format(user), events=[]), headers=headers)


@pytest.mark.parametrize("form", ["{}", "f:keycloak:{}"])
@pytest.mark.parametrize("path", CALLS)
def test_another_learners_user_id_is_403_and_nothing_is_done(
    guarded: Server, key: Key, learner: Learner, path: str, form: str
) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    events = [{"id": "e", "type": "start", "collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE}]
    request = place(form.format(meera), force=True, events=events)
    body = refusal(guarded.call(path, request, headers=bearer(key.token(rahul))), 403, "ERR_FORBIDDEN_USER")
    assert body["responseCode"] == "FORBIDDEN"
    assert list(body["result"]) == ["userId"]
    assert "contents" not in str(body["result"])
    for user in (rahul, meera):
        assert status_of(guarded, key, user) == 0


def test_another_learner_cannot_be_updated_or_ended_either(guarded: Server, key: Key, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    guarded.result(START, place(meera), headers=bearer(key.token(meera)))
    for path in (UPDATE, END):
        request = place(meera, progressDetails={"progress": 90}, timespent=9)
        refusal(guarded.call(path, request, headers=bearer(key.token(rahul))), 403, "ERR_FORBIDDEN_USER")
    item = view(guarded, place(meera), headers=bearer(key.token(meera)))
    assert (item["status"], item["progress"], item["timespent"]) == (1, 0, 0)


def test_sync_item_of_another_learner_is_rejected_and_the_rest_done(
    guarded: Server, key: Key, learner: Learner
) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    one = {"type": "start", "collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE}
    events: list[dict[str, Any]] = [{**one, "id": "a", "userId": meera}, {**one, "id": "b", "userId": f"f:k:{rahul}"}]
    results = sync(guarded, rahul, events, headers=bearer(key.token(rahul)))
    assert [(result["status"], result["err"]) for result in results] == [
        ("rejected", "ERR_FORBIDDEN_USER"),
        ("applied", None),
    ]
    assert results[0]["code"] == 403
    assert [status_of(guarded, key, user) for user in (rahul, meera)] == [1, 0]


def test_user_ids_that_contradict_each_other_are_400(guarded: Server, key: Key, learner: Learner) -> None:
    user = learner()
    answer = guarded.call(START, place(user, userid="somebody"), headers=bearer(key.token(user)))
    refusal(answer, 400, "ERR_CONFLICTING_IDS")


# --- managed learners -----------------------------------------------------------------------------------------------


def test_parent_acts_for_a_managed_learner(guarded: Server, key: Key, learner: Learner) -> None:
    parent, child = learner("parent"), learner("child")
    managed = {"x-authenticated-for": key.token(child, parentId=parent)}
    for header in (bearer, sunbird):
        headers = header(key.token(parent)) | managed
        assert guarded.result(READ, {"contentId": SINGLE}, headers=headers)["userId"] == child
    guarded.result(START, place(child), headers=headers)
    refusal(guarded.call(START, place(parent), headers=headers), 403, "ERR_FORBIDDEN_USER")
    assert [status_of(guarded, key, user) for user in (child, parent)] == [1, 0]


def test_managed_token_of_a_federated_parent_is_taken(guarded: Server, key: Key, learner: Learner) -> None:
    parent, child = learner("parent"), learner("child")
    managed = {"x-authenticated-for": key.token(f"f:k:{child}", parentId=f"f:k:{parent}")}
    headers = bearer(key.token(parent)) | managed
    assert guarded.result(READ, {"contentId": SINGLE}, headers=headers)["userId"] == child


BAD_MANAGED: dict[str, Callable[[Key, Key, str, str], str]] = {
    "of another parent": lambda key, _, parent, child: key.token(child, parentId=parent + "x"),
    "of no parent": lambda key, _, parent, child: key.token(child),
    "of a parent that is no text": lambda key, _, parent, child: key.token(child, parentId=[parent]),
    "expired": lambda key, _, parent, child: key.token(child, parentId=parent, exp=int(time.time()) - 600),
    "for ever": lambda key, _, parent, child: key.token(child, parentId=parent, exp=None),
    "for nobody": lambda key, _, parent, child: key.token(None, parentId=parent),
    "by a stranger": lambda _, stranger, parent, child: stranger.token(child, parentId=parent),
    "unsigned": lambda key, _, parent, child: forged({"alg": "none"}, {"sub": child, "parentId": parent, "exp": 2**40}),
    "garbage": lambda key, _, parent, child: child,
}


@pytest.mark.parametrize("make", BAD_MANAGED.values(), ids=BAD_MANAGED)
def test_managed_token_that_proves_nothing_is_401(
    guarded: Server, key: Key, stranger: Key, learner: Learner, make: Callable[[Key, Key, str, str], str]
) -> None:
    parent, child = learner("parent"), learner("child")
    headers = bearer(key.token(parent)) | {"x-authenticated-for": make(key, stranger, parent, child)}
    for request in (place(child), place(parent), {"contentId": SINGLE}):
        refused(guarded.call(START, request, headers=headers))
    assert [status_of(guarded, key, user) for user in (child, parent)] == [0, 0]


def test_managed_token_alone_is_no_login_of_the_parent(guarded: Server, key: Key, learner: Learner) -> None:
    refused(guarded.call(START, {"contentId": SINGLE}, headers={"x-authenticated-for": key.token(learner())}))


# --- other keys -----------------------------------------------------------------------------------------------------


def test_es256_key_with_issuer_and_audience(tmp_path_factory: pytest.TempPathFactory, learner: Learner) -> None:
    key, user = Key.ec(), learner()
    settings = {"VIEWER_JWT_PUBLIC_KEY": key.pem, "VIEWER_JWT_ISSUER": ISSUER, "VIEWER_JWT_AUDIENCE": AUDIENCE}
    with servers.running(tmp_path_factory.mktemp("es256"), VIEWER_AUTH="jwt", **settings) as server:

        def ask(token: str) -> httpx.Response:
            return server.call(READ, {"contentId": SINGLE}, headers=bearer(token))

        for audience in (AUDIENCE, ["account", AUDIENCE]):
            good = ask(key.token(user, iss=ISSUER, aud=audience))
            assert good.json()["result"]["userId"] == user
        for claims in (
            {"iss": ISSUER},
            {"aud": AUDIENCE},
            {"iss": "https://evil.example", "aud": AUDIENCE},
            {"iss": [ISSUER], "aud": AUDIENCE},
            {"iss": ISSUER, "aud": "another"},
            {"iss": ISSUER, "aud": []},
            {"iss": ISSUER, "aud": 5},
            {"iss": ISSUER, "aud": {"viewer": 1}},
        ):
            refused(ask(key.token(user, **claims)))
        refused(ask(Key.ec().token(user, iss=ISSUER, aud=AUDIENCE)))
        refused(ask(Key.rsa().token(user, iss=ISSUER, aud=AUDIENCE)))


@pytest.fixture
def key_set() -> Iterator[KeyServer]:
    """A key server with one key of each kind."""
    with key_server(Key.rsa("rsa-1"), Key.ec("ec-1")) as running:
        yield running


def test_key_set_is_asked_for_keys_and_follows_their_rotation(
    tmp_path_factory: pytest.TempPathFactory, key_set: KeyServer, learner: Learner
) -> None:
    settings = {"VIEWER_AUTH": "jwt", "VIEWER_JWT_JWKS_URL": key_set.url}
    old_rsa, old_ec = key_set.keys
    user = learner()
    with servers.running(tmp_path_factory.mktemp("jwks"), **settings) as server:

        def ask(token: str) -> httpx.Response:
            return server.call(READ, {"contentId": SINGLE}, headers=bearer(token))

        # A key server that does not answer, or answers rubbish, is our trouble and not the learner's.
        for broken in ((500, b"down"), (200, b"<html>"), (200, b'{"keys": []}'), (302, b"")):
            key_set.broken = broken
            unavailable = refusal(ask(old_rsa.token(user)), 503, "ERR_STORE_UNAVAILABLE")
            assert unavailable["responseCode"] == "SERVER_ERROR"
        key_set.broken = None

        for one in (old_rsa, old_ec):
            assert ask(one.token(user)).json()["result"]["userId"] == user
        asked = key_set.asked
        for _ in range(5):
            assert ask(old_rsa.token(user)).status_code == 200
        assert key_set.asked == asked, "a known key is not asked for again"

        # Keys that are not in the set, or not the token's: refused.
        stranger = Key.rsa("rsa-1")
        refused(ask(stranger.token(user)), "The token is not valid")
        refused(ask(Key.rsa("unheard-of").token(user)), "The token was signed with an unknown key")
        refused(ask(Key.rsa().token(user)), "The token was signed with an unknown key")
        refused(ask(Key("RS256", Key.rsa().private, "ec-1").token(user)), "The token is not valid")
        refused(ask(forged({"alg": "RS256", "kid": 5}, {"sub": user}, b"x")))
        refused(ask(forged({"alg": "RS256", "kid": ["rsa-1"]}, {"sub": user}, b"x")))
        refused(ask("garbage"))

        # Rotation: the new key is fetched because it is unknown, without a restart.
        new = Key.rsa("rsa-2")
        key_set.keys = [new, old_ec]
        deadline = time.monotonic() + 10
        while ask(new.token(user)).status_code != 200:
            assert time.monotonic() < deadline, "the new key was never fetched"
        refused(ask(old_rsa.token(user)), "The token was signed with an unknown key")

        # An unknown key while nobody can be asked: try again later. A known one still works.
        key_set.broken = (503, b"")
        newest = Key.rsa("rsa-3").token(user)
        deadline = time.monotonic() + 10
        while (answer := ask(newest)).status_code != 503:
            refused(answer)
            assert time.monotonic() < deadline
        assert ask(new.token(user)).status_code == 200


# --- authentication off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CALLS)
def test_without_authentication_the_request_must_name_its_learner(server: Server, path: str) -> None:
    request = {"collectionId": MATHS, "contextId": BATCH, "contentId": SINGLE, "events": []}
    body = refusal(server.call(path, request), 400, "ERR_MISSING_FIELD")
    assert body["result"] == {"userId": "userId is required"}


def test_without_authentication_tokens_are_not_read(server: Server, key: Key, learner: Learner) -> None:
    rahul, meera = learner("rahul"), learner("meera")
    headers = bearer(key.token(meera)) | sunbird("rubbish") | {"x-authenticated-for": "rubbish"}
    server.result(START, place(rahul), headers=headers)
    assert view(server, place(rahul))["status"] == 1
