"""From a model's name to the LLM library's model, with connections that are closed when its owner is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import get_args

import httpx2
from pydantic_ai.models import KnownModelName, Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ThinkingEffort

from coder_nb.backends.native.providers import Target

_TIMEOUT = httpx2.Timeout(connect=15.0, read=600.0, write=60.0, pool=60.0)
"""A model that thinks may be silent for minutes; one that cannot be reached should say so soon."""


_KEPT = 32


class Models:
    """Makes models over one pool of connections; the user's proxy and certificate variables hold for it."""

    def __init__(self) -> None:
        self._made: dict[Target, Model] = {}
        self._http = httpx2.AsyncClient(timeout=_TIMEOUT, follow_redirects=True)

    def make(self, target: Target) -> Model:
        if target not in self._made:
            if len(self._made) >= _KEPT:
                self._made.clear()
            provider = partial(self._provider, target=target)
            self._made[target] = infer_model(f"{target.wire}:{target.model}", provider_factory=provider)
        return self._made[target]

    async def close(self) -> None:
        await self._http.aclose()

    def _provider(self, name: str, target: Target) -> Provider[object]:
        made = infer_provider_class(name)
        if target.url:
            return made(api_key=target.key, base_url=target.url, http_client=self._http)  # type: ignore[call-arg]
        return made(api_key=target.key, http_client=self._http)  # type: ignore[call-arg]


EFFORTS: tuple[ThinkingEffort, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")
"""How much a model may be told to think; the library takes the nearest that the model has."""


def efforts(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Those of these models (``provider/name``) that can be told how much to think, with what they may be told."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        provider, _, model = name.partition("/")
        profile = infer_provider_class(provider).model_profile(model) or {}
        if profile.get("supports_thinking"):
            found[name] = EFFORTS
    return found


def known(provider: str) -> list[str]:
    """The models of a provider that the library knows by name."""
    names = get_args(KnownModelName.__value__)
    return [name.replace(":", "/", 1) for name in names if name.startswith(f"{provider}:")]
