"""The page over HTTP: it comes whole, and with it nothing of this machine or of other ones."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlparse

import pytest
from explorer_page import served

gradio = pytest.importorskip("gradio", reason="the page needs the extra 'app'")

SECRET = "a file that nobody named"


@pytest.fixture(scope="module")
def address():
    with served("HalfCheetah-v5", 32) as address:
        yield address


def get(url: str, body: Any = None, **headers: str) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def config(address: str) -> dict[str, Any]:
    return json.loads(get(f"{address}config")[1])


def run(address: str, target: str, data: list[Any], **more: Any) -> tuple[int, str]:
    """Call the function that an event of a component calls, by the component's id or label."""
    functions = config(address)["dependencies"]
    number = next(f["id"] for f in functions if [target] in ([t[1]] for t in f["targets"]))
    body = {"data": data, "fn_index": number, "session_hash": "test", **more}
    return get(f"{address}gradio_api/run/predict", body)


def test_the_page_comes_with_a_policy_and_loads_nothing_from_elsewhere(address):
    with urllib.request.urlopen(address, timeout=300) as answer:
        text, policy = answer.read().decode(), answer.headers["content-security-policy"]
    assert "stemob explore" in text
    assert "default-src 'self'" in policy
    loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:[^\"]+)\"", text)
    assert [url for url in loaded if urlparse(url).hostname != "127.0.0.1"] == []


def test_every_file_that_the_page_begins_with_is_served(address):
    text = get(address)[1]
    files = re.findall(r"(?:src|href)=\"\./(assets/[^\"]+)\"", text)
    assert len(files) >= 2
    assert {get(address + file)[0] for file in files} == {200}


@pytest.mark.parametrize("place", ["beside", "elsewhere", "temporary"])
def test_no_file_that_was_not_named_is_read(address, place, tmp_path, monkeypatch):
    from pathlib import Path

    file = {
        "beside": Path.cwd() / "README.md",
        "elsewhere": Path("/etc/passwd"),
        "temporary": tmp_path / "secret.txt",
    }[place]
    if place == "temporary":
        file.write_text(SECRET)
    content = file.read_text()[:20]
    path = quote(str(file))
    for url in (
        f"gradio_api/file={path}",
        f"gradio_api/file/{path}",
        f"file={path}",
        f"gradio_api/proxy=file://{path}",
        f"static/..{path}",
        f"static/../../../../../../../../..{path}",
        f"assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{path}",
    ):
        status, text = get(address + url)
        assert status >= 400, url
        assert content not in text
    sent = {"path": str(file), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    status, text = run(address, "upload", [], event_data={"name": "a.png", "data": str(file)})
    assert content not in text
    assert "no PNG" in text
    status, text = run(address, "upload", [], event_data={"name": sent, "data": sent})
    assert content not in text


def test_files_cannot_be_left_here(address):
    for path in ("upload", "upload_progress?upload_id=a", "component_server", "vibe-edit/"):
        status, _ = get(f"{address}gradio_api/{path}", {"files": "a"})
        assert status == 404, path


def test_only_this_machine_reaches_it_and_only_under_a_local_name(address):
    url = urlparse(address)
    assert url.hostname == "127.0.0.1"
    assert get(address, None, Host=f"localhost:{url.port}")[0] == 200
    assert get(address, None, Host=f"evil.example:{url.port}")[0] == 400
    with socket.socket(socket.AF_INET) as other:
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", url.port or 0)) != 0  # a name of this machine too


def test_no_telemetry(address):
    assert gradio.analytics.analytics_enabled() is False
    assert config(address)["analytics_enabled"] is False


def test_an_env_that_was_not_named_is_not_made(address):
    # What the page sends when its first control says another env.
    values = {c["id"]: c["props"].get("value") for c in config(address)["components"]}
    function = max(config(address)["dependencies"], key=lambda f: len(f["inputs"]))
    data = [values[number] for number in function["inputs"]]
    body = {"data": data, "fn_index": function["id"], "session_hash": "test"}
    url = f"{address}gradio_api/run/predict"
    status, text = get(url, body)
    assert status == 200
    assert text.count("data:image/png") == 8  # three of each look, two between them
    status, text = get(url, {**body, "data": ["os:Hopper-v5", *data[1:]]})
    assert "data:image/png" not in text
