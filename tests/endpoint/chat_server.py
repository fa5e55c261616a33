"""A chat server for tests, a process of its own: ``python chat_server.py LOG [PLAN]`` prints its port and serves.

It answers from the question alone: of listed candidates it documents those with a title whose words all stand in the
note. ``PLAN`` is JSON: what to do with the first requests, one word each ("ok", "500", "429", "slow", "text", "empty",
"cut"), or {"when": word, "do": ...} applied to every request that holds the word. Each request is a line of ``LOG``.
"""

from __future__ import annotations

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOG = Path(sys.argv[1])
PLAN: Any = json.loads(sys.argv[2]) if len(sys.argv) > 2 else []
TITLES = {"36.15": "Single internal mammary-coronary artery bypass"}


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def sentences(note: str) -> list[str]:
    return re.findall(r"[^.]+", note)


def choose(question: str) -> dict[str, Any]:
    listed, _, note = question.partition("\n\nClinical note:\n")
    codes = list[dict[str, str]]()
    for line in listed.splitlines():
        found = re.match(r"- (\S+): (.*)", line)
        if not found:
            continue
        wanted = words(found[2]) - {"unspecified", "of", "the", "a", "essential", "primary", "other", "disorder"}
        quote = next((part.strip() for part in sentences(note) if wanted and wanted <= words(part)), None)
        if quote:
            codes.append({"code": found[1], "quote": quote})
    return {"codes": codes}


def verify(question: str) -> dict[str, Any]:
    listed = question.partition("\n\nClinical note:\n")[0]
    rows = re.findall(r'- (\S+): .*?\(quote: "(.*?)"\)', listed)
    denied = re.compile(r"\b(no|denies)\b", re.IGNORECASE)
    return {
        "verdicts": [{"code": code, "documented": not denied.search(quote), "confidence": 90} for code, quote in rows]
    }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    question = request["messages"][-1]["content"]
    match request["response_format"]["json_schema"]["name"]:
        case "choice":
            return choose(question)
        case "verification":
            return verify(question)
        case "description":
            return {"description": next((title for code, title in TITLES.items() if code in question), "no idea")}
        case "code":
            return {"code": next((code for code, title in TITLES.items() if title in question), "99.99")}
        case name:
            return {"echo": name}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        number = len(LOG.read_text().splitlines()) if LOG.exists() else 0
        entry = {"path": self.path, "key": self.headers.get("Authorization"), "body": json.loads(body)}
        with LOG.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        self.act(self.planned(number, body), body)

    def planned(self, number: int, body: str) -> str:
        if isinstance(PLAN, dict):
            return PLAN["do"] if PLAN["when"] in body else "ok"
        return PLAN[number] if number < len(PLAN) else "ok"

    def act(self, what: str, body: str) -> None:
        if what.isdigit():
            return self.reply(int(what), body.encode())  # an error that repeats the note, as some servers do
        if what == "slow":
            time.sleep(3)
        content = json.dumps(answer(json.loads(body)))
        content = {"text": "Certainly! " + content, "fenced": f"```json\n{content}\n```", "empty": "{}"}.get(
            what, content
        )
        reply: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}}]}
        if what != "uncounted":
            reply["usage"] = {"prompt_tokens": len(body), "completion_tokens": len(content)}
        sent = json.dumps(reply).encode()
        if what == "drip":
            return self.drip(sent)
        self.reply(200, sent, announced=len(sent) + (10 if what == "cut" else 0))

    def reply(self, status: int, body: bytes, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        if status == 429:
            self.send_header("Retry-After", "7")
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def drip(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for place in range(len(body)):
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()
            time.sleep(0.2)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the log file has it all."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
