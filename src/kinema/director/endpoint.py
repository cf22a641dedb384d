"""Any OpenAI-compatible chat endpoint: one question, one answer as JSON. What endpoints do in practice is expected: they know no
structured output, answer in prose or code fences, are busy, or stall.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinema.errors import EngineError, InputError, excerpt

try:
    import httpx
except ImportError:
    raise InputError("a language model needs the package httpx; get it with: pip install 'kinema[direct]'") from None

KEYS = ("KINEMA_LLM_KEY", "OPENAI_API_KEY")
"""Environment variables that hold the key; local servers need none."""
MOST_WAIT_S = 30.0
"""As long as a busy endpoint's "retry-after" is waited for at most."""
RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
Message = dict[str, Any]


@dataclass(kw_only=True)
class ChatEndpoint:
    """An endpoint and the model asked there.

    Attributes:
        url: Base address, such as "http://127.0.0.1:11434/v1".
        model: The model's name there.
        key: API key. None: that of KEYS in the environment.
        timeout_s: How long an answer may take.
        tries: Requests for one answer at most, when the endpoint is busy, fails or stalls.
        sleep: Waits so many seconds; tests replace it.
    """

    url: str
    model: str
    key: str | None = None
    timeout_s: float = 120.0
    tries: int = 4
    sleep: Callable[[float], None] = time.sleep
    requests: int = 0
    _formats: list[str] = field(default_factory=lambda: ["json_schema", "json_object", ""])

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"--llm {excerpt(self.url)!r}: expected an address such as http://127.0.0.1:11434/v1")
        if not self.model:
            raise InputError("no language model is named: give --llm-model NAME")

    def ask(self, messages: Sequence[Message], schema: dict[str, Any], name: str) -> str:
        """Ask once.

        Args:
            messages: The conversation.
            schema: JSON Schema of the answer, which endpoints with structured output keep to.
            name: Of the schema.

        Returns:
            The text of the answer.

        Raises:
            EngineError: The endpoint did not answer, or refused, in so many tries.
        """
        problem = ""
        for attempt in range(self.tries):
            try:
                response = self._post(messages, schema, name)
            except httpx.TimeoutException:
                problem = f"no answer in {self.timeout_s:g} s"
                continue
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
                self.sleep(min(2.0**attempt, MOST_WAIT_S))
                continue
            if response.status_code in (400, 422) and len(self._formats) > 1:
                problem = f"HTTP {response.status_code}"
                self._formats.pop(0)
                continue
            if response.status_code in RETRIED:
                problem = f"HTTP {response.status_code}"
                self.sleep(_wait(response, attempt))
                continue
            if response.status_code != 200:
                raise EngineError(f"{self.url} answered {response.status_code}: {_reason(response)}", "upstream_failed")
            text = _content(response)
            if text:
                return text
            problem = "an empty answer"
        raise EngineError(f"{self.url} gave no answer in {self.tries} tries: {problem}", "upstream_failed")

    def _post(self, messages: Sequence[Message], schema: dict[str, Any], name: str) -> httpx.Response:
        body: dict[str, Any] = {"model": self.model, "messages": list(messages)}
        form = self._formats[0]
        if form == "json_schema":
            body["response_format"] = {"type": form, "json_schema": {"name": name, "schema": schema}}
        elif form:
            body["response_format"] = {"type": form}
        key = self.key if self.key is not None else next((os.environ[one] for one in KEYS if os.environ.get(one)), "")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.requests += 1
        return httpx.post(f"{self.url.rstrip('/')}/chat/completions", json=body, headers=headers, timeout=self.timeout_s)


def _wait(response: httpx.Response, attempt: int) -> float:
    try:
        return min(max(float(response.headers.get("retry-after", "")), 0.0), MOST_WAIT_S)
    except ValueError:
        return min(2.0**attempt, MOST_WAIT_S)


def _reason(response: httpx.Response) -> str:
    try:
        return excerpt(str(response.json()["error"]["message"]), 200)
    except (ValueError, KeyError, TypeError):
        return excerpt(" ".join(response.text.split()), 200)


def _content(response: httpx.Response) -> str:
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return content.strip() if isinstance(content, str) else ""


def json_in(text: str) -> Any:
    """The JSON object in an answer: alone, in a code fence, or in prose; with trailing commas.

    Raises:
        InputError: There is none.
    """
    fenced = re.search(r"```(?:json)?\s*(.*?)```", text, re.DOTALL)
    for candidate in (text, fenced[1] if fenced else "", _braced(text)):
        for form in (candidate, re.sub(r",(\s*[}\]])", r"\1", candidate)):
            try:
                value = json.loads(form)
            except ValueError:
                continue
            if isinstance(value, dict):
                return value
    raise InputError(f"the answer holds no JSON object: {excerpt(' '.join(text.split()), 60)!r}")


def _braced(text: str) -> str:
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end else ""
