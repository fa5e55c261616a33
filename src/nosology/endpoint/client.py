"""The project's one client of language models behind a server: cached, retried, rate-limited, its tokens counted."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from nosology.config.endpoint import EndpointConfig
from nosology.endpoint.answers import AnswerCache
from nosology.endpoint.failures import EndpointError, RequestFailedError
from nosology.endpoint.hosts import Server, check_url
from nosology.endpoint.transport import NoReplyError, Reply, post
from nosology.errors import ConfigError

URL_VARIABLE = "NOSOLOGY_ENDPOINT_URL"

Schema = Mapping[str, Any]
Result = TypeVar("Result")

_LONGEST_WAIT = 60.0
_WARMER = 0.5
_STOPPING = {
    401: "refuses the key; put a valid one into the environment variable {key}",
    403: "refuses access; check the key in the environment variable {key}",
    404: "knows no such path or model; check url and model",
    405: "takes no chat completions there; check url",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a chat.

    Args:
        role: "system", "user" or "assistant".
        text: what is said.
    """

    role: str
    text: str = field(repr=False)


@dataclass(slots=True)
class Usage:
    """What a client has done so far.

    Args:
        requests: sent, retries included.
        retries: among them.
        cached: answers that needed none.
        failed: questions without a usable answer.
        input_tokens, output_tokens: as the server counts them, unusable answers included.
        uncounted: answers for which the server counted nothing.
    """

    requests: int = 0
    retries: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0

    def cost(self, config: EndpointConfig) -> float:
        """By the recipe's prices, in their currency."""
        return (self.input_tokens * config.input_price + self.output_tokens * config.output_price) / 1e6

    def describe(self, config: EndpointConfig) -> str:
        """One line for people."""
        told = (
            f"endpoint: {self.requests} requests ({self.retries} retries), {self.cached} answers from the cache, "
            f"{self.input_tokens} tokens in, {self.output_tokens} out"
        )
        if self.uncounted:
            told += f" ({self.uncounted} answers not counted by the server)"
        if config.input_price or config.output_price:
            told += f", cost {self.cost(config):.4f}"
        return told


class ChatClient:
    """Asks a server questions with answers of a given form.

    Args:
        config: the server.
        wait: sleeps for some seconds.

    Raises:
        EndpointError: the server's address is none, or public and not allowed.
        ConfigError: the key or the cache cannot be used.
    """

    def __init__(self, config: EndpointConfig, wait: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self.usage = Usage()
        self._server: Server = check_url(os.environ.get(URL_VARIABLE) or config.url, allow_public=config.allow_public)
        self._key = _key_of(config)
        self._cache = AnswerCache.open(config.cache)
        self._wait = wait
        self._free_at = 0.0

    def ask(self, messages: Sequence[Message], name: str, schema: Schema, read: Callable[[Any], Result]) -> Result:
        """Ask one question.

        Args:
            messages: the chat so far.
            name: of the answer's form, for the server.
            schema: of the answer (JSON schema); sent as ``response_format``.
            read: makes something of the parsed answer; raises ValueError, TypeError or KeyError where it does not fit.
                Servers that ignore ``response_format`` are caught by it.

        Raises:
            RequestFailedError: no usable answer came, whatever was tried.
            EndpointError: the server cannot be used at all.
        """
        request = self._request(messages, name, schema)
        kept = self._cache.read(request)
        if kept is not None:
            try:
                result = read(kept)
            except (ValueError, TypeError, KeyError):
                pass  # of an older form: ask again
            else:
                self.usage.cached += 1
                return result
        answer, result = self._insist(request, read)
        self._cache.write(request, answer)
        return result

    def _request(self, messages: Sequence[Message], name: str, schema: Schema) -> dict[str, Any]:
        return {
            "model": self.config.model,
            "messages": [{"role": message.role, "content": message.text} for message in messages],
            "temperature": self.config.temperature,
            "seed": self.config.seed,
            "max_tokens": self.config.max_answer_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": name, "strict": True, "schema": dict(schema)},
            },
        }

    def _insist(self, request: dict[str, Any], read: Callable[[Any], Result]) -> tuple[Any, Result]:
        """The first usable answer; between attempts it waits, ever longer."""
        reason, pause = "", 0.0
        for attempt in range(self.config.retries + 1):
            if attempt:
                self.usage.retries += 1
                self._wait(max(pause, min(_LONGEST_WAIT, self.config.backoff_seconds * 2 ** (attempt - 1))))
            try:
                reply = self._send(request)
            except NoReplyError as error:
                reason, pause = str(error), 0.0
                continue
            if reply.status == HTTPStatus.OK:
                try:
                    answer = self._content(reply.body)
                    return answer, read(answer)
                except (ValueError, TypeError, KeyError, IndexError, RecursionError):
                    reason, pause = "an answer that is not what was asked for", 0.0
                    warmer = max(_WARMER, self.config.temperature)
                    request = {**request, "seed": self.config.seed + attempt + 1, "temperature": warmer}
                    continue
            reason, pause = _told(reply.status), min(reply.retry_after or 0.0, _LONGEST_WAIT)
            if not _is_passing(reply.status):
                self._refuse(reply.status, reason, attempt + 1)
        self.usage.failed += 1
        raise RequestFailedError(reason, self.config.retries + 1)

    def _send(self, request: dict[str, Any]) -> Reply:
        self._keep_rate()
        self.usage.requests += 1
        body = json.dumps(request).encode()
        return post(self._server, body, self._key, self.config.timeout_seconds)

    def _keep_rate(self) -> None:
        if not self.config.requests_per_minute:
            return
        now = time.monotonic()
        if now < self._free_at:
            self._wait(self._free_at - now)
        self._free_at = max(now, self._free_at) + 60.0 / self.config.requests_per_minute

    def _refuse(self, status: int, reason: str, attempts: int) -> None:
        """What no retry mends: of this request, or of every one."""
        self.usage.failed += 1
        if status in _STOPPING:
            told = _STOPPING[status].format(key=self.config.api_key_env)
            raise EndpointError(f"the endpoint answers {reason}: it {told}")
        raise RequestFailedError(reason, attempts)

    def _content(self, body: bytes) -> Any:
        """The answer inside a reply, parsed.

        Raises:
            ValueError, TypeError, KeyError, IndexError: it is not what the protocol says, or not JSON.
        """
        reply: Any = json.loads(body)
        self._count(reply.get("usage") if isinstance(reply, dict) else None)
        return json.loads(_bare(reply["choices"][0]["message"]["content"]))

    def _count(self, usage: Any) -> None:
        try:
            tokens = int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0)
        except (TypeError, KeyError, ValueError, AttributeError):
            self.usage.uncounted += 1
            return
        self.usage.input_tokens += tokens[0]
        self.usage.output_tokens += tokens[1]


def _key_of(config: EndpointConfig) -> str | None:
    key = os.environ.get(config.api_key_env, "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise ConfigError(f"the key in the environment variable {config.api_key_env} holds characters that no key has")
    return key or None


def _bare(text: str) -> str:
    """JSON without the code fence that some models put around it."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        stripped = stripped[3:-3].removeprefix("json")
    return stripped


def _is_passing(status: int) -> bool:
    return status >= 500 or status in (408, 409, 425, 429)


def _told(status: int) -> str:
    """A status in words that are HTTP's own, never the server's: those could repeat a note."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"
