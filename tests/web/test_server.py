"""The page's server: the headers that browsers ask for, the right types, and nothing but the files of its table."""

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from demo.web import __main__ as command
from demo.web.server import STATIC, PageServer, bundle_resources, page_resources, runtime_resources
from runtime.errors import BundleError, LotteryError
from tests.tiny_bundle import write_tiny_bundle
from tests.web.page import running

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fake_runtime(tmp_path_factory):
    """Stand-ins for onnxruntime-web: the server does not look inside."""
    folder = tmp_path_factory.mktemp("vendor")
    files = {name: folder / name for name in ("ort.wasm.min.mjs", "ort.wasm")}
    for name, path in files.items():
        path.write_text(name)
    return files


@pytest.fixture(scope="module")
def resources(tiny, fake_runtime):
    return page_resources() | bundle_resources(tiny) | runtime_resources(fake_runtime)


@pytest.fixture(scope="module")
def server(resources):
    with running(PageServer(resources)) as server:
        yield server


def ask(server, path, *, method="GET", headers=None, context=None):
    """Send the path as it is, unlike a browser or urllib, which would tidy it."""
    port = server.server_address[1]
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_every_answer_makes_the_page_isolated_and_confined(server, resources):
    for path in (*resources, "/nothing"):
        status, headers, _ = ask(server, path)
        assert status == (200 if path in resources else 404)
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        # nothing may be fetched from, or sent, elsewhere
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert not re.search(r"https?:|\*|unsafe-inline|'unsafe-eval'", policy)


def test_types_are_what_browsers_insist_on(server, tiny, fake_runtime):
    types = {
        "/": "text/html; charset=utf-8",
        "/static/app.js": "text/javascript; charset=utf-8",
        "/static/style.css": "text/css; charset=utf-8",
        "/static/icon.svg": "image/svg+xml",
        "/vendor/ort.wasm.min.mjs": "text/javascript; charset=utf-8",
        "/vendor/ort.wasm": "application/wasm",
        "/bundle/manifest.json": "application/json",
        "/bundle/model.onnx": "application/octet-stream",
        "/bundle/tokens.txt": "text/plain; charset=utf-8",
    }
    for path, mime_type in types.items():
        status, headers, body = ask(server, path)
        assert (status, headers["Content-Type"]) == (200, mime_type)
        assert int(headers["Content-Length"]) == len(body) > 0
    assert ask(server, "/bundle/model.onnx")[2] == (tiny / "model.onnx").read_bytes()
    assert ask(server, "/?a=1")[2] == (STATIC / "index.html").read_bytes()


def test_only_the_files_of_the_manifest(tiny, fake_runtime, tmp_path):
    bundle = shutil.copytree(tiny, tmp_path / "bundle")
    (bundle / "notes.txt").write_text("private")
    served = bundle_resources(bundle)
    assert sorted(served) == [
        "/bundle/manifest.json", "/bundle/model.int8.onnx", "/bundle/model.onnx", "/bundle/tokens.txt",
    ]  # fmt: skip
    with running(PageServer(served)) as server:
        assert ask(server, "/bundle/notes.txt")[0] == 404
        assert ask(server, "/bundle/")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/static/../server.py", "/static/%2e%2e/server.py", "/bundle/../../secret",
        "/bundle/..%2fsecret", "//etc/passwd", "/etc/passwd", "http://127.0.0.1/etc/passwd", "/static/", "/static",
        "/STATIC/app.js", "/vendor/../static/app.js", "/static\\..\\server.py", "/vendor/package.json",
        "/bundle/manifest.json/", "*",
    ],
)  # fmt: skip
def test_paths_that_escape_are_not_found(server, path):
    status, _, body = ask(server, path)
    assert status == 404
    assert b"root:" not in body
    assert b"[project]" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_sent_to_the_server(server, method):
    status, headers, _ = ask(server, "/", method=method)
    assert status == 501
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_a_file_that_is_known_is_not_sent_again(server):
    status, headers, body = ask(server, "/bundle/model.onnx")
    status, again, rest = ask(server, "/bundle/model.onnx", headers={"If-None-Match": headers["ETag"]})
    assert (status, rest) == (304, b"")
    assert again["ETag"] == headers["ETag"]
    assert ask(server, "/", headers={"If-None-Match": headers["ETag"]})[0] == 200
    status, headers, rest = ask(server, "/bundle/model.onnx", method="HEAD")
    assert (status, int(headers["Content-Length"]), rest) == (200, len(body), b"")


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "LOCALHOST.:8765", "[::1]:8765", "192.168.1.7:8765"])
def test_the_server_answers_to_its_own_names_and_to_numbers(server, host):
    assert ask(server, "/", headers={"Host": host})[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_a_name_that_was_rebound_to_this_machine_gets_nothing(server, host):
    for path in ("/", "/bundle/model.onnx"):
        status, headers, body = ask(server, path, headers={"Host": host})
        assert status == 421
        assert b"<script" not in body
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_no_host_or_two_get_nothing(server):
    for lines in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(server.server_address, timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 421")


def test_a_name_can_be_added(resources):
    with running(PageServer(resources, names=["Box.local"])) as server:
        assert ask(server, "/", headers={"Host": "box.local:8765"})[0] == 200


def test_the_number_of_threads_is_bounded(resources, monkeypatch):
    monkeypatch.setattr("demo.web.server.MAX_CONNECTIONS", 3)
    with running(PageServer(resources)) as server:
        before = threading.active_count()
        silent = [socket.create_connection(server.server_address, timeout=10) for _ in range(12)]
        # Those without a thread are closed: nothing more comes from them.
        assert sum(_is_closed(connection) for connection in silent) == 9
        assert threading.active_count() <= before + 3
        for connection in silent:
            connection.close()
        # and the threads come back
        assert _ask_until_served(server) == 200


def _is_closed(connection):
    connection.settimeout(0.3)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def _ask_until_served(server, *, tries=50):
    for _ in range(tries):
        try:
            return ask(server, "/")[0]
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.05)
    return None


def test_what_was_checked_is_what_is_served(tiny, tmp_path):
    bundle = shutil.copytree(tiny, tmp_path / "bundle")
    model = (bundle / "model.onnx").read_bytes()
    with running(PageServer(bundle_resources(bundle))) as server:
        (bundle / "model.onnx").write_bytes(b"another model")
        assert ask(server, "/bundle/model.onnx")[2] == model


def test_rubbish_harms_nobody(server):
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 no http\r\n\r\n")
        connection.recv(4096)
    assert ask(server, "/")[0] == 200


def test_a_file_that_changes_is_sent_again(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"first")
    with running(PageServer(runtime_resources({"model.onnx": path}))) as server:
        _, headers, body = ask(server, "/vendor/model.onnx")
        assert body == b"first"
        path.write_bytes(b"another")
        status, headers, body = ask(server, "/vendor/model.onnx", headers={"If-None-Match": headers["ETag"]})
        assert (status, body, headers["Content-Length"]) == (200, b"another", "7")


def test_a_bundle_with_int8_alone(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "int8", has_fp32=False)
    assert sorted(bundle_resources(bundle)) == [
        "/bundle/manifest.json",
        "/bundle/model.int8.onnx",
        "/bundle/tokens.txt",
    ]


def test_damaged_bundles_are_refused(tiny, tmp_path):
    bundle = shutil.copytree(tiny, tmp_path / "bundle")
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="altered"):
        bundle_resources(bundle)
    model.unlink()
    model.symlink_to(Path(__file__))
    with pytest.raises(BundleError):
        bundle_resources(bundle)
    with pytest.raises(BundleError, match="no such bundle"):
        bundle_resources(tmp_path / "nothing")


def test_a_port_that_is_taken(server):
    with pytest.raises(LotteryError, match="cannot serve") as error:
        PageServer({}, port=server.server_address[1])
    assert "--port" in error.value.hint


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    # The command of docs/browser.md.
    line = re.search(r"openssl req .*", (CHECKOUT / "docs" / "browser.md").read_text()).group()
    subprocess.run(line, shell=True, cwd=folder, check=True, capture_output=True)
    return folder


def test_https(resources, certificate):
    lines = []
    files = {"certificate": certificate / "cert.pem", "key": certificate / "key.pem"}
    server = PageServer(resources, **files, log=lines.append)
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    context.check_hostname = False
    with running(server):
        assert server.url.startswith("https://")
        # one who connects and says nothing keeps nobody waiting
        with socket.create_connection(server.server_address):
            assert ask(server, "/", context=context)[0] == 200
        # and one who speaks plain HTTP is turned away
        for _ in range(3):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(server, "/")
        assert ask(server, "/static/app.js", context=context)[0] == 200
    assert lines == ["127.0.0.1: HTTP_REQUEST"]


def test_a_certificate_that_is_none(resources, tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    for path in (tmp_path / "cert.pem", tmp_path / "nothing.pem"):
        with pytest.raises(LotteryError, match=re.escape(path.name)):
            PageServer(resources, certificate=path)


def test_the_command_prints_its_address_and_ends(tiny, fake_runtime, monkeypatch, capsys):
    monkeypatch.setattr(command, "runtime_files", lambda: fake_runtime)

    def serve(server):
        assert ask_nothing(server)
        raise KeyboardInterrupt

    def ask_nothing(server):
        return "/bundle/manifest.json" in server.resources

    monkeypatch.setattr(PageServer, "serve_forever", serve)
    assert command.main([str(tiny), "--port", "0", "--host", "0.0.0.0"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"http://localhost:\d+/\n", printed.out)
    assert "no microphone" in printed.err
    # without a bundle it is the one that comes along
    monkeypatch.setattr(command, "shipped_bundle", lambda: tiny)
    assert command.main(["--port", "0"]) == 0
    assert "microphone" not in capsys.readouterr().err


def test_the_command_says_what_is_wrong_with_a_bundle(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "demo.web", str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "error:" in result.stderr
    assert "hint:" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_table_names_every_file_of_the_page():
    served = {address.rpartition("/")[2] for address in page_resources()} | {"index.html"}
    assert served - {""} == {path.name for path in STATIC.iterdir()}
    text = (STATIC / "index.html").read_text()
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert f"/{address}" in page_resources()


def test_scripts_import_only_what_is_served():
    names = {path.name for path in STATIC.iterdir()}
    for path in STATIC.glob("*.js"):
        for imported in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert imported in names, path.name


def test_the_manifest_is_served_as_it_is(server, tiny):
    assert json.loads(ask(server, "/bundle/manifest.json")[2]) == json.loads((tiny / "manifest.json").read_text())
