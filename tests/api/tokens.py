"""Keys and tokens of the tests: people whose tokens we sign ourselves, and a key server that tells our keys."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


@dataclass(frozen=True)
class Key:
    """A key pair: `algorithm` says what it signs with, `kid` how a key set calls it."""

    algorithm: str
    private: Any
    kid: str | None = None

    @classmethod
    def rsa(cls, kid: str | None = None) -> "Key":
        return cls("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048), kid)

    @classmethod
    def ec(cls, kid: str | None = None) -> "Key":
        return cls("ES256", ec.generate_private_key(ec.SECP256R1()), kid)

    @property
    def pem(self) -> str:
        """The public key as text."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        text: str = self.private.public_key().public_bytes(encoding, form).decode()
        return text

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as a key set holds it."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        public: dict[str, Any] = json.loads(algorithm.to_jwk(self.private.public_key()))
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def token(self, sub: object, **claims: Any) -> str:
        """A token for `sub` that is good for an hour, with `claims` over it; a claim of None is left out."""
        whole = {"sub": sub, "exp": int(time.time()) + 3600, "iat": int(time.time()), **claims}
        payload = {name: value for name, value in whole.items() if value is not None}
        headers = {"kid": self.kid} if self.kid else None
        return jwt.PyJWS().encode(json.dumps(payload).encode(), self.private, self.algorithm, headers)


def forged(header: object, payload: object, signature: bytes = b"") -> str:
    """Three parts put together by hand."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@dataclass
class KeyServer:
    """What answers at `url`: the keys in `keys`, or `broken` as it is; counts the questions."""

    url: str = ""
    keys: list[Key] = field(default_factory=list)
    broken: tuple[int, bytes] | None = None
    asked: int = 0

    def answer(self) -> tuple[int, bytes]:
        self.asked += 1
        return self.broken or (200, json.dumps({"keys": [key.jwk for key in self.keys]}).encode())


@contextmanager
def key_server(*keys: Key) -> Iterator[KeyServer]:
    """A real HTTP server in a thread of the test."""
    state = KeyServer(keys=list(keys))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = state.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing: the test says what went wrong."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listener.server_port}/certs"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(5)
