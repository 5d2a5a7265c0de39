"""The page's server: a fixed table of addresses, and headers that give a page threads, the microphone, and no way out.

Nothing is looked up on disk by what a browser asks for: an address is in the table, or it is not found. What was
checked of a bundle is kept in memory, and sent from there.
"""

import contextlib
import hashlib
import io
import ipaddress
import json
import os
import ssl
import sys
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from runtime.errors import LotteryError
from runtime.foreign import escape
from runtime.manifest import MANIFEST_NAME, MODEL_ROLES, WORDS_ROLE, Manifest
from runtime.operators import check_model

STATIC = Path(__file__).resolve().parent / "static"
MIME_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
HEADERS = {
    # The two that make a page cross-origin isolated: shared memory, so threads, and a fine clock.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The page can reach nothing but this server: what the microphone hears has nowhere to go.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Kept, but asked for again each time: another bundle may stand behind the same address tomorrow.
    "Cache-Control": "no-cache",
}
# A browser that says nothing for so long is gone.
TIMEOUT_S = 60
# Each connection has a thread; a browser opens six.
MAX_CONNECTIONS = 64
_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What is behind an address: a file, or content that was read before.

    Args:
        path: where it is, or where it came from.
        mime_type: what it is sent as.
        content: bytes; None: the file is read whenever it is asked for.
    """

    path: Path
    mime_type: str
    content: bytes | None = None

    @contextlib.contextmanager
    def open(self):
        """Yield (file, size in bytes, ETag); the tag changes when the content does."""
        if self.content is not None:
            yield io.BytesIO(self.content), len(self.content), _tag(self.content)
            return
        with self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            yield file, status.st_size, _tag(f"{self.path} {status.st_size} {status.st_mtime_ns}".encode())


def _tag(identity):
    return f'"{hashlib.sha256(identity).hexdigest()[:32]}"'


def page_resources():
    """Return {address: Resource} of the page itself."""
    files = {f"/static/{path.name}": path for path in sorted(STATIC.iterdir()) if path.suffix in MIME_TYPES}
    files["/"] = files.pop("/static/index.html")
    return {address: _resource(path) for address, path in files.items()}


def runtime_resources(files):
    """Return {address: Resource} of onnxruntime-web; `files` is what vendor.runtime_files() returns."""
    return {f"/vendor/{name}": _resource(path) for name, path in files.items()}


def bundle_resources(bundle, *, require_signature=None, allow_any_operators=False):
    """Return {address: Resource} of what the page needs of a bundle: manifest, tokens, words and the ONNX models.

    Args:
        bundle: the directory.
        require_signature, allow_any_operators: see runtime.recognizer.Recognizer.
    Raises:
        BundleError: not a bundle, a file of it is missing, altered or outside it, its model holds what lottery-export
            does not write, or the signature is missing or wrong.
    """
    bundle = Path(bundle)
    manifest = Manifest.load(bundle, verify="used", require_signature=require_signature)
    content = json.dumps(manifest.to_json()).encode()
    resources = {f"/bundle/{MANIFEST_NAME}": _resource(bundle / MANIFEST_NAME, content=content)}
    for role in ("tokens", WORDS_ROLE, *MODEL_ROLES.values()):
        if role in manifest.files:
            path = bundle / manifest.files[role].path
            content = manifest.read(role, bundle=bundle)
            if role in MODEL_ROLES.values():
                check_model(content, source=path, allow_any_operators=allow_any_operators)
            resources[f"/bundle/{manifest.files[role].path}"] = _resource(path, content=content)
    return resources


def _resource(path, *, content=None):
    mime_type = MIME_TYPES.get(path.suffix, "application/octet-stream")
    return Resource(path=path, mime_type=mime_type, content=content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "lottery-asr"
    sys_version = ""
    timeout = TIMEOUT_S

    def do_GET(self):
        self._answer(has_body=True)

    def do_HEAD(self):
        self._answer(has_body=False)

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_):
        """Say nothing of requests that work; log_error says the rest."""

    def log_error(self, form, *arguments):
        if self.server.log:
            self.server.log(f"{self.client_address[0]}: {escape(form % arguments)}")

    def _answer(self, *, has_body):
        if not self.server.is_own_name(self.headers.get_all("Host") or []):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this server is not called that")
            return
        resource = self.server.resources.get(self.path.partition("?")[0])
        if resource is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            with resource.open() as (file, num_bytes, tag):
                self._send(resource.mime_type, file, num_bytes=num_bytes, tag=tag, has_body=has_body)
        except (ConnectionError, TimeoutError, ssl.SSLError):
            # The browser went away in the middle.
            self.close_connection = True
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, mime_type, file, *, num_bytes, tag, has_body):
        if self.headers.get("If-None-Match") == tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", mime_type)
        self.send_header("Content-Length", str(num_bytes))
        self.send_header("ETag", tag)
        self.end_headers()
        while has_body and (block := file.read(_BLOCK_BYTES)):
            self.wfile.write(block)


class PageServer(ThreadingHTTPServer):
    """Serves a table of resources.

    A browser that was led here under another name is turned away: a page of an attacker whose name resolves to this
    machine (DNS rebinding) could read the bundle otherwise. Numbers cannot be rebound.

    Args:
        resources: {address: Resource}.
        host, port: where; port 0 takes a free one.
        names: host names that browsers may call it by, beside localhost, `host`, and any number.
        certificate, key: PEM files, for HTTPS; None for HTTP.
        log: function that takes a line about a request that failed, or None.
    Raises:
        LotteryError: the address is taken or not this machine's, or the certificate cannot be used.
    """

    daemon_threads = True

    def __init__(self, resources, *, host="127.0.0.1", port=0, names=(), certificate=None, key=None, log=None):
        self.resources, self.log, self._said = resources, log, set()
        self._names = {name.lower().rstrip(".") for name in ("localhost", host, *names)}
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._tls = _tls_context(certificate, key) if certificate else None
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise LotteryError(
                f"cannot serve on {host}:{port}: {getattr(error, 'strerror', None) or error}",
                hint="choose another --port or --host",
            ) from error

    @property
    def url(self):
        """The page's address."""
        host, port = self.server_address[:2]
        host = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host
        return f"{'https' if self._tls else 'http'}://{host}:{port}/"

    def is_own_name(self, hosts):
        """Whether a request's Host headers are one, and name this server."""
        if len(hosts) != 1:
            return False
        name = hosts[0].strip().lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True

    def process_request(self, request, client_address):
        """Give a connection its thread, or close it where too many are open."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request, client_address):
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def get_request(self):
        """Accept a connection; the TLS handshake waits for the connection's own thread."""
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        """Say once why a client's connections fail: a phone that refuses a certificate is no reason to stop."""
        error = sys.exception()
        # A browser that goes away is no news.
        if self.log and not isinstance(error, (ConnectionError, TimeoutError, ssl.SSLEOFError)):
            line = escape(f"{client_address[0]}: {getattr(error, 'reason', None) or error}")
            if line not in self._said:
                self._said.add(line)
                self.log(line)


def _tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise LotteryError(
            f"{certificate}: cannot be used as a certificate: {error.strerror or error}",
            hint="docs/browser.md has the openssl command that makes --cert and --key",
        ) from error
    return context
