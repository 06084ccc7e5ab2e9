"""An issuer of tokens for tests: JWTs signed by RS256, the keys that verify them, and an endpoint that grants them.

``python -m tests.support.tokens FOLDER SUBJECT LIFE_S`` prints a token of the issuer in ``FOLDER``.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID, ISSUER, AUDIENCE = "tests", "https://issuer.test", "kafka"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _part(document: dict[str, Any]) -> str:
    return _encoded(json.dumps(document).encode())


@dataclass(frozen=True)
class Issuer:
    """Signs with the key in ``folder``, which is made where it is missing; ``folder/jwks.json`` verifies."""

    folder: Path

    @property
    def keys(self) -> Path:
        """What a broker verifies tokens with (JWKS)."""
        return self.folder / "jwks.json"

    def token(self, subject: str, life_s: float = 60, **claims: Any) -> str:
        """A token for ``subject``."""
        now = time.time()
        claims = {"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + life_s, **claims}
        signed = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': KEY_ID})}.{_part(claims)}"
        return f"{signed}.{_encoded(self._key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def command(self, subject: str, life_s: float) -> str:
        """A command that prints a new one."""
        return f"{sys.executable} -m tests.support.tokens {self.folder} {subject} {life_s}"

    def _key(self) -> rsa.RSAPrivateKey:
        file = self.folder / "key.pem"
        if file.exists():
            return serialization.load_pem_private_key(file.read_bytes(), None)  # type: ignore[return-value]
        key = rsa.generate_private_key(65537, 2048)
        how = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(key.private_bytes(*how))
        public = key.public_key().public_numbers()
        told = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": _number(public.n), "e": _number(65537)}
        self.keys.write_text(json.dumps({"keys": [told]}))
        return key


def new_issuer(folder: Path) -> Issuer:
    """One with a key of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    issuer = Issuer(folder)
    issuer._key()
    return issuer


@dataclass
class Endpoint:
    """A token endpoint that runs. ``status`` and ``body`` are answered where set; ``asked`` is what came."""

    url: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def token_endpoint(issuer: Issuer, clients: dict[str, str], *, life_s: float = 60) -> Iterator[Endpoint]:
    """An endpoint on a free port of the loopback interface that knows ``clients`` and their secrets."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            client, secret = map(unquote, login.split(":"))
            endpoint.asked.append({"client": client, "secret": secret} | {name: form[name][0] for name in form})
            if endpoint.status != 200 or endpoint.body:
                self._answer(endpoint.status, endpoint.body)
            elif clients.get(client) != secret:
                self._answer(401, json.dumps({"error": "invalid_client", "error_description": "unknown"}).encode())
            else:
                granted = {"access_token": issuer.token(client, life_s), "token_type": "Bearer", "expires_in": life_s}
                self._answer(200, json.dumps(granted).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **endpoint.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/token")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield endpoint
        finally:
            server.shutdown()


if __name__ == "__main__":
    print(Issuer(Path(sys.argv[1])).token(sys.argv[2], float(sys.argv[3])))
