"""Coding through a server that speaks OpenAI's chat protocol: where it is, what it may cost, what it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nosology.config.rules import Section, above, at_least, between, not_empty


@dataclass(frozen=True, slots=True)
class EndpointConfig(Section):
    """A server with ``/chat/completions``. Notes go there, so it has to be a private one unless allowed otherwise.

    Args:
        url: what stands before ``/chat/completions``; the environment's ``NOSOLOGY_ENDPOINT_URL`` comes first.
        model: the server's name of the model.
        allow_public: hosts other than this machine, private and link-local addresses, ``.local`` and ``.internal``
            names; over https only.
        api_key_env: the environment variable that holds the key; unset, none is sent.
        timeout_seconds: for one answer.
        retries: after a time-out, a broken connection, an answer 429 or 5xx, or one that isn't what was asked for.
        backoff_seconds: before the first retry; doubled for each further one, at most 60 s.
        requests_per_minute: at most; 0: no limit.
        failures_in_a_row: notes that fail one after another until the run ends with an error.
        temperature: of sampling; a retry after an unusable answer takes at least 0.5.
        seed: of sampling.
        max_answer_tokens: in one answer.
        cache: a folder for answers, seen from the working directory; left out, one in the package's cache.
        input_price, output_price: of a million tokens, in whatever currency; for the cost that is told.
    """

    url: str = field(default="http://127.0.0.1:8000/v1", metadata=not_empty())
    model: str = field(default="default", metadata=not_empty())
    allow_public: bool = False
    api_key_env: str = field(default="NOSOLOGY_API_KEY", metadata=not_empty())
    timeout_seconds: float = field(default=120.0, metadata=above(0))
    retries: int = field(default=3, metadata=between(0, 20))
    backoff_seconds: float = field(default=1.0, metadata=at_least(0))
    requests_per_minute: float = field(default=0.0, metadata=at_least(0))
    failures_in_a_row: int = field(default=10, metadata=at_least(1))
    temperature: float = field(default=0.0, metadata=between(0, 2))
    seed: int = field(default=0, metadata=at_least(0))
    max_answer_tokens: int = field(default=2048, metadata=at_least(1))
    cache: str | None = None
    input_price: float = field(default=0.0, metadata=at_least(0))
    output_price: float = field(default=0.0, metadata=at_least(0))


@dataclass(frozen=True, slots=True)
class EndpointModelConfig(Section):
    """A language model behind a server as coder: candidates of the knowledge base, a choice, a verification.

    Args:
        kind: chooses this section.
        seen: candidates a note that training encounters carry, at most.
        unseen: candidates a note that no training encounter carries, at most.
        shots: training encounters shown as examples, those most like the note; 0: zero-shot.
        shot_characters: of each example's text.
        note_characters: of a note's text; the end of a longer one is cut off, and told.
        calibration_encounters: training encounters coded to learn probabilities and threshold from; each takes up to
            two requests.
        endpoint: the server.
    """

    kind: Literal["endpoint"] = "endpoint"
    seen: int = field(default=40, metadata=between(0, 500))
    unseen: int = field(default=20, metadata=between(0, 500))
    shots: int = field(default=0, metadata=between(0, 50))
    shot_characters: int = field(default=2000, metadata=at_least(100))
    note_characters: int = field(default=24_000, metadata=at_least(100))
    calibration_encounters: int = field(default=50, metadata=at_least(1))
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
