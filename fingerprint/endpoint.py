"""An OpenAI-compatible language model, asked only where a setting and a flag say so.

Two things ask: labels of components (`fingerprint/labels/language_model.py`) and the judge that stands beside
the systems of an evaluation (`fingerprint/evaluation/judge.py`). Both send pieces of the repository's code;
nothing else sends anything anywhere.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from fingerprint import FingerprintError

_RETRIES = 3


class EndpointError(FingerprintError):
    """The endpoint cannot be reached or does not answer as asked; the message says what to do."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask.

    Attributes:
        url: such as https://host/v1, to which /chat/completions is added. model: its name there. key:
            bearer token, "" for none. timeout_s: of one request. wait_s: before the first repetition.
    """

    url: str
    model: str
    key: str = ""
    timeout_s: float = 60.0
    wait_s: float = 1.0

    def ask(self, system: str, user: str) -> Mapping[str, Any]:
        """One question, answered by a JSON object; refusals for load are repeated three times.

        Raises:
            EndpointError: no answer, or none that is JSON.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = {"model": self.model, "messages": messages, "temperature": 0}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        address = f"{self.url.rstrip('/')}/chat/completions"
        for attempt in range(_RETRIES + 1):
            try:
                response = httpx.post(address, json=body, headers=headers, timeout=self.timeout_s)
            except httpx.HTTPError as error:
                raise EndpointError(
                    f"The endpoint {self.url} gave no answer ({error}): check ROUTEPRINT_LABEL_URL."
                ) from error
            is_busy = response.status_code == 429 or response.status_code >= 500
            if not is_busy or attempt == _RETRIES:
                return self._content(response)
            time.sleep(self.wait_s * 2**attempt)
        raise AssertionError

    def _content(self, response: httpx.Response) -> Mapping[str, Any]:
        if response.status_code != 200:
            raise EndpointError(
                f"The endpoint {self.url} answered {response.status_code}: check ROUTEPRINT_LABEL_URL, "
                "ROUTEPRINT_LABEL_MODEL and ROUTEPRINT_LABEL_KEY."
            )
        try:
            text = response.json()["choices"][0]["message"]["content"]
            found = json.loads(re.sub(r"^```(json)?|```$", "", text.strip(), flags=re.MULTILINE))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise EndpointError(
                f"The endpoint {self.url} did not answer with a JSON object as asked: try another model."
            ) from error
        if not isinstance(found, Mapping):
            raise EndpointError(
                f"The endpoint {self.url} answered JSON that is no object: try another model."
            )
        return found
