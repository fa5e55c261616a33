"""A chat server for tests that serves SmolLM2, a process of its own: ``python smollm2_server.py`` prints its port.

The form of an answer is written for the model, which fills in the values, greedily: what servers with constrained
decoding do, with one row a list.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from nosology.endpoint.probe import LocalSpeaker

SPEAKER = LocalSpeaker("smollm2", "icd9proc", (), longest=24)


def fill(properties: dict[str, Any], text: str) -> dict[str, Any]:
    """An object's fields, one after another."""
    found = dict[str, Any]()
    for name, form in properties.items():
        if form["type"] == "array":
            found[name] = [fill(form["items"]["properties"], text)]
            continue
        said = SPEAKER._complete(f'{text}\nThe {name} is: "').partition('"')[0]
        match form["type"]:
            case "string":
                found[name] = said
            case "boolean":
                found[name] = "true" in said.lower()
            case _:
                found[name] = int("".join(char for char in said if char.isdigit())[:2] or 50)
        text += f'\nThe {name} is: "{said}"'
    return found


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = "\n".join(message["content"] for message in request["messages"])
        content = json.dumps(fill(request["response_format"]["json_schema"]["schema"]["properties"], text))
        usage = {"prompt_tokens": len(SPEAKER._tokenizer.ids_of(text)), "completion_tokens": len(content)}
        body = json.dumps({"choices": [{"message": {"content": content}}], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
