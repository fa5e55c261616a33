"""The client against a real server process: retries, cache, limits, and that nothing of a note ever leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from served import Serve, Served

from nosology.config.endpoint import EndpointConfig
from nosology.endpoint.client import ChatClient, Message
from nosology.endpoint.failures import EndpointError, RequestFailedError
from nosology.endpoint.hosts import check_url, is_private_address, is_private_host
from nosology.errors import ConfigError

CANARY = "mrssmithcanary"
SCHEMA = {"type": "object", "properties": {"echo": {"type": "string"}}, "required": ["echo"]}
ASKED = (Message("system", "Repeat."), Message("user", f"{CANARY} has pneumonia"))


def client_of(served: Served, cache: Path, waits: list[float] | None = None, **options: Any) -> ChatClient:
    config = EndpointConfig(url=served.url, model="tiny", cache=str(cache), **options)
    return ChatClient(config, wait=(waits if waits is not None else []).append)


def ask(client: ChatClient, messages: tuple[Message, ...] = ASKED) -> str:
    return client.ask(messages, "repeat", SCHEMA, lambda answer: str(answer["echo"]))


def test_what_is_sent(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOSOLOGY_API_KEY", "secret-key\n")
    served = serve()
    assert ask(client_of(served, tmp_path / "cache", seed=3)) == "repeat"
    (request,) = served.requests
    assert (request["path"], request["key"]) == ("/v1/chat/completions", "Bearer secret-key")
    body = request["body"]
    assert body["messages"] == [{"role": m.role, "content": m.text} for m in ASKED]
    assert (body["model"], body["seed"], body["temperature"]) == ("tiny", 3, 0.0)
    form = {"name": "repeat", "strict": True, "schema": SCHEMA}
    assert body["response_format"] == {"type": "json_schema", "json_schema": form}


@pytest.mark.parametrize("fault", ["500", "503", "429", "text", "empty", "cut"])
def test_what_passes_is_tried_again(fault: str, serve: Serve, tmp_path: Path) -> None:
    waits = list[float]()
    client = client_of(serve([fault, fault]), tmp_path / "cache", waits, backoff_seconds=2.0)
    assert ask(client) == "repeat"
    assert (client.usage.requests, client.usage.retries, client.usage.failed) == (3, 2, 0)
    assert waits == ([7.0, 7.0] if fault == "429" else [2.0, 4.0])


@pytest.mark.parametrize("fault", ["slow", "drip"])
def test_a_slow_server_meets_the_deadline(fault: str, serve: Serve, tmp_path: Path) -> None:
    client = client_of(serve([fault, "ok"]), tmp_path / "cache", timeout_seconds=0.7)
    assert ask(client) == "repeat"
    assert client.usage.retries == 1


def test_an_unusable_answer_is_asked_for_differently(serve: Serve, tmp_path: Path) -> None:
    served = serve(["text", "text"])
    ask(client_of(served, tmp_path / "cache", seed=5))
    sampled = [(r["body"]["seed"], r["body"]["temperature"]) for r in served.requests]
    assert sampled == [(5, 0.0), (6, 0.5), (7, 0.5)]


def test_a_code_fence_does_no_harm(serve: Serve, tmp_path: Path) -> None:
    client = client_of(serve(["fenced"]), tmp_path / "cache")
    assert ask(client) == "repeat"
    assert client.usage.retries == 0


@pytest.mark.parametrize(
    ("fault", "reason", "attempts"),
    [
        ("500", "500 Internal Server Error; tried 2 times", 2),
        ("429", "429 Too Many Requests; tried 2 times", 2),
        ("text", "an answer that is not what was asked for; tried 2 times", 2),
        ("slow", "time-out; tried 2 times", 2),
        ("400", "400 Bad Request; tried once", 1),
        ("302", "302 Found; tried once", 1),
    ],
)
def test_what_fails_says_why_and_nothing_of_the_note(
    fault: str, reason: str, attempts: int, serve: Serve, tmp_path: Path
) -> None:
    client = client_of(serve([fault] * 5), tmp_path / "cache", retries=1, timeout_seconds=0.5)
    with pytest.raises(RequestFailedError) as caught:
        ask(client)
    assert str(caught.value) == f"the endpoint gave no usable answer ({reason})"
    assert (client.usage.requests, client.usage.failed) == (attempts, 1)
    assert CANARY not in repr(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_a_server_that_is_gone_is_told(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    served.stop()
    with pytest.raises(RequestFailedError, match=r"\(no connection; tried once\)$"):
        ask(client_of(served, tmp_path / "cache", retries=0))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", "the endpoint answers 401 Unauthorized: it refuses the key; put a valid one into the environment "),
        ("404", "the endpoint answers 404 Not Found: it knows no such path or model; check url and model"),
    ],
)
def test_what_no_note_can_mend_ends_the_run(
    fault: str, message: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOSOLOGY_API_KEY", "secret-key")
    client = client_of(serve([fault]), tmp_path / "cache")
    with pytest.raises(EndpointError) as caught:
        ask(client)
    assert not isinstance(caught.value, RequestFailedError)
    assert str(caught.value).startswith(message)
    assert "secret-key" not in str(caught.value)
    assert client.usage.requests == 1


def test_an_answer_is_asked_for_once(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    assert ask(client_of(served, tmp_path / "cache")) == "repeat"
    again = client_of(served, tmp_path / "cache")
    assert ask(again) == "repeat"
    assert (again.usage.requests, again.usage.cached, len(served.requests)) == (0, 1, 1)
    ask(again, (Message("user", "something else"),))
    ask(client_of(served, tmp_path / "cache", seed=1))
    assert len(served.requests) == 3


def test_the_cache_tells_nothing_by_its_names_and_only_its_owner(serve: Serve, tmp_path: Path) -> None:
    ask(client_of(serve(), tmp_path / "cache"))
    (file,) = (tmp_path / "cache").iterdir()
    assert len(file.stem) == 64
    assert CANARY not in file.name
    assert CANARY not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"answer": {"other": 1}}', "\x00"])
def test_a_damaged_cache_file_is_replaced(damage: str, serve: Serve, tmp_path: Path) -> None:
    served = serve()
    ask(client_of(served, tmp_path / "cache"))
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(damage)
    assert ask(client_of(served, tmp_path / "cache")) == "repeat"
    assert json.loads(file.read_text()) == {"answer": {"echo": "repeat"}}
    assert len(served.requests) == 2


def test_tokens_and_cost_are_counted(serve: Serve, tmp_path: Path) -> None:
    served = serve(["text", "ok", "uncounted"])
    client = client_of(served, tmp_path / "cache", input_price=2.0, output_price=10.0)
    ask(client)
    sent = [len(json.dumps(request["body"])) for request in served.requests]
    written = len('{"echo": "repeat"}')
    expected = sum(sent), 2 * written + len("Certainly! ")
    assert (client.usage.input_tokens, client.usage.output_tokens) == expected
    assert client.usage.cost(client.config) == pytest.approx((2.0 * expected[0] + 10.0 * expected[1]) / 1e6)
    ask(client, (Message("user", "again"),))
    told = client.usage.describe(client.config)
    assert told.startswith("endpoint: 3 requests (1 retries), 0 answers from the cache, ")
    assert "(1 answers not counted by the server), cost 0.00" in told


def test_the_rate_is_kept(serve: Serve, tmp_path: Path) -> None:
    waits = list[float]()
    client = client_of(serve(), tmp_path / "cache", waits, requests_per_minute=6.0)
    for number in range(3):
        ask(client, (Message("user", str(number)),))
    assert len(waits) == 2
    assert 9.0 < waits[0] <= 10.0
    assert 19.0 < waits[1] <= 20.0  # the waits are not slept here, so they add up


KILLED = """
import os, sys
from nosology.config.endpoint import EndpointConfig
from nosology.endpoint.client import ChatClient, Message
client = ChatClient(EndpointConfig(url=sys.argv[1], cache=sys.argv[2]))
for number in range(int(sys.argv[3])):
    client.ask([Message("user", str(number))], "repeat", {}, lambda answer: answer["echo"])
    print(number, client.usage.requests, client.usage.cached, flush=True)
"""


def test_a_killed_run_goes_on_from_its_cache(serve: Serve, tmp_path: Path) -> None:
    served = serve(["ok", "ok", "ok", "slow"])
    command = [sys.executable, "-c", KILLED, served.url, str(tmp_path / "cache")]
    process = subprocess.Popen([*command, "5"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.kill()  # while the fourth answer is being waited for
    process.communicate()
    done = subprocess.run([*command, "5"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "4 2 3"


# --- which hosts ----------------------------------------------------------------------------------------------------

PRIVATE = ("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.9", "169.254.1.1")
PUBLIC = ("8.8.8.8", "172.32.0.1", "172.15.0.1", "11.0.0.1", "192.169.0.1", "0.0.0.0", "198.18.0.1")


@pytest.mark.parametrize("host", [*PRIVATE, "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"])
def test_private_addresses(host: str) -> None:
    assert is_private_address(host)


@pytest.mark.parametrize("host", [*PUBLIC, "2001:4860:4860::8888", "::ffff:8.8.8.8", "::"])
def test_public_addresses(host: str) -> None:
    assert not is_private_address(host)


@pytest.mark.parametrize("host", ["localhost", "gpu.local", "LLM.Internal", "a.localhost"])
def test_private_names(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host", ["api.example.com", "localhost.example.com", "notlocal", "2130706433", "0x7f.1", "10.0.0.1.nip.io", "local"]
)
def test_public_names_are_refused_unless_allowed(host: str) -> None:
    with pytest.raises(EndpointError, match="is public, and notes would leave your network; set allow_public = true"):
        check_url(f"https://{host}/v1", allow_public=False)
    assert check_url(f"https://{host}:8443/v1/", allow_public=True).path == "/v1"
    with pytest.raises(EndpointError, match="is public: use https"):
        check_url(f"http://{host}/v1", allow_public=True)


def test_a_refused_client_is_not_even_made(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"'api\.example\.com' is public"):
        ChatClient(EndpointConfig(url="https://api.example.com/v1", cache=str(tmp_path / "cache")))


def test_the_address_of_the_environment_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOSOLOGY_ENDPOINT_URL", "https://api.example.com/v1")
    with pytest.raises(EndpointError, match=r"'api\.example\.com' is public"):
        ChatClient(EndpointConfig(cache=str(tmp_path / "cache")))


def test_a_private_name_that_leads_to_a_public_address_is_refused(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    client = client_of(served, tmp_path / "cache")
    monkeypatch.setattr("nosology.endpoint.transport.is_private_address", lambda address: address != "127.0.0.1")
    with pytest.raises(EndpointError, match="leads to a public address"):
        ask(client)
    assert not served.requests


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://127.0.0.1/v1", "must look like http://127.0.0.1:8000/v1"),
        ("127.0.0.1:8000", "must look like"),
        ("http://", "must look like"),
        ("http://127.0.0.1:port/v1", "must look like"),
        ("http://[::1/v1", "must look like"),
        ("http://127.0.0.1/v1 GET", "must look like"),
        ("http://user:secret@127.0.0.1/v1", "must hold no user, key or query"),
        ("http://127.0.0.1/v1?key=secret", "must hold no user, key or query"),
    ],
)
def test_bad_urls_are_told_without_repeating_them(url: str, message: str) -> None:
    with pytest.raises(EndpointError) as caught:
        check_url(url, allow_public=True)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_key_that_cannot_be_sent_is_told_without_repeating_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOSOLOGY_API_KEY", "se\ncret")
    with pytest.raises(ConfigError) as caught:
        ChatClient(EndpointConfig(cache=str(tmp_path / "cache")))
    assert str(caught.value) == "the key in the environment variable NOSOLOGY_API_KEY holds characters that no key has"


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/cache: cannot be made .*; choose another cache"):
        ChatClient(EndpointConfig(cache=str(tmp_path / "file" / "cache")))
