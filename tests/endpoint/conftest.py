"""A real chat server on loopback, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import Served


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Starts servers that behave by a plan; see ``chat_server.py``."""
    for name in ("NOSOLOGY_ENDPOINT_URL", "NOSOLOGY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    running = list[Served]()

    def start(plan: object = ()) -> Served:
        log = tmp_path / f"requests-{len(running)}.jsonl"
        script = Path(__file__).with_name("chat_server.py")
        command = [sys.executable, str(script), str(log), json.dumps(plan)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        running.append(Served(process, f"http://127.0.0.1:{int(process.stdout.readline())}/v1", log))
        return running[-1]

    yield start
    for served in running:
        served.stop()
        assert served.process.stdout is not None
        served.process.stdout.close()
