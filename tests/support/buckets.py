"""An S3 on this machine, and a network before it on which answers get lost, servers are slow and say no."""

from __future__ import annotations

import http.client
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from tests.support.brokers import ROOT, free_ports
from tests.support.waiting import until

HOST = "127.0.0.1"
REGION = "us-east-1"
PAGE = 100
"""Names in one answer to a listing; the real service's have 1,000."""


class Asked(NamedTuple):
    """One request: ``kind`` as S3 charges for it (LIST, GET, PUT, CREATE, DELETE, POST), and the path asked for."""

    kind: str
    path: str


@dataclass(frozen=True)
class Fault:
    """What happens to a request: a wait, then ``answer`` in the server's place, or no answer at all.

    ``status`` 0 leaves the answer to the server; ``reaches`` says whether it hears of the request, ``lost`` whether
    its answer gets lost, and ``unconditional`` that it knows no conditions and does what is asked whatever is there.
    """

    wait_s: float = 0.0
    status: int = 0
    code: str = ""
    reaches: bool = True
    lost: bool = False
    unconditional: bool = False


NONE = Fault()
LOST_ANSWER = Fault(lost=True)
LOST_REQUEST = Fault(reaches=False, lost=True)
UNCONDITIONAL = Fault(unconditional=True)


def refused(status: int, code: str) -> Fault:
    """S3 says no."""
    return Fault(status=status, code=code, reaches=False)


def slow(wait_s: float) -> Fault:
    """S3 takes its time."""
    return Fault(wait_s=wait_s)


Faults = Callable[[Asked], Fault]


def no_faults(_: Asked) -> Fault:
    """All is well."""
    return NONE


def once(kind: str, fault: Fault, times: int = 1) -> Faults:
    """``fault`` befalls the first ``times`` requests of ``kind``."""
    left = itertools.count(times, -1)
    return lambda asked: fault if asked.kind == kind and next(left) > 0 else NONE


def always(fault: Fault, *kinds: str) -> Faults:
    """``fault`` befalls every request, or every one of ``kinds``."""
    return lambda asked: fault if not kinds or asked.kind in kinds else NONE


@dataclass
class Network:
    """The way to a server at ``upstream``. ``asked`` is what came by; ``faults`` what happens to it."""

    upstream: int
    port: int
    faults: Faults = no_faults
    asked: list[Asked] = field(default_factory=list)

    def environment(self, port: int | None = None) -> dict[str, str]:
        """What has a process find this S3, by this way, or directly at ``port``."""
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{port or self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
        }

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
        """The server's answer, read to its end by whoever asks."""
        connection = http.client.HTTPConnection(HOST, self.upstream, timeout=60)
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def make_bucket(self, name: str) -> str:
        """A bucket; its URL."""
        with self.forward("PUT", f"/{name}", {}, b"") as response:
            assert response.status == 200, response.read()
        return f"s3://{name}"

    def uploads(self, bucket: str) -> str:
        """What S3 says of multipart uploads that were begun and neither completed nor aborted."""
        with self.forward("GET", f"/{bucket}?uploads", {}, b"") as response:
            return response.read().decode()

    def drop_everything(self) -> None:
        """No bucket is left."""
        with self.forward("POST", "/moto-api/reset", {}, b"") as response:
            assert response.status == 200

    @contextmanager
    def befallen(self, faults: Faults) -> Iterator[None]:
        """``faults`` for a while."""
        self.faults = faults
        try:
            yield
        finally:
            self.faults = no_faults

    def counts(self) -> dict[str, int]:
        """How many requests of each kind came by."""
        kinds = [each.kind for each in self.asked]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


@contextmanager
def s3_server(log: Path) -> Iterator[int]:
    """An S3; its port."""
    port = free_ports()[0]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.moto_server", str(port)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: _answers(port), "answer of moto's server", 60, hopeless=lambda: process.poll() is not None)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def network_to(upstream: int) -> Iterator[Network]:
    """A way to ``upstream`` through this process."""
    network = Network(upstream, 0)
    server = _Server((HOST, 0), type("_Handler", (_Handler,), {"network": network}))
    network.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield network
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed while they wait, and servers are: both is meant."""
        if not isinstance(sys.exc_info()[1], OSError | http.client.HTTPException):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    network: Network

    def _pass(self) -> None:
        expected = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(expected)
        if len(body) < expected:  # the client has given it up
            return
        asked = Asked(self._kind(), self.path)
        self.network.asked.append(asked)
        fault = self.network.faults(asked)
        time.sleep(fault.wait_s)
        status, headers, content = 0, [], b""
        if fault.reaches:
            headers_in = dict(self.headers)
            if fault.unconditional:
                headers_in = {name: value for name, value in headers_in.items() if name.lower() != "if-none-match"}
            with self.network.forward(self.command, self.path, headers_in, body) as response:
                status, headers, content = response.status, response.getheaders(), response.read()
        if fault.status:
            status, headers = fault.status, [("Content-Type", "application/xml")]
            content = f"<Error><Code>{fault.code}</Code><Message>as the test has it</Message></Error>".encode()
        if not fault.lost:
            self._answer(status, headers, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _kind(self) -> str:
        if self.command == "GET" and "list-type" in self.path:
            return "LIST"
        return "CREATE" if self.headers.get("If-None-Match") else self.command

    def log_message(self, format: str, *args: object) -> None:
        """The tests know what they asked for."""

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - the names http.server looks for
