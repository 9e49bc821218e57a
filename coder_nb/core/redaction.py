"""Secrets taken out of what leaves the machine: exports and shared views. Pure.

Two things are hidden: values that are known to be secret (of variables whose names say so, and whatever a ``.env`` file
held that an agent looked into), and what has the shape of a key. Too much hidden is a nuisance, too little is a leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from coder_nb.core.entries import AnyBody, Entry, ToolCall, Unknown

T = TypeVar("T")
HIDDEN = "[hidden]"
SHORTEST = 6
"""A shorter value is no secret that could be told from ordinary words."""
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_PRINTABLE = "".join(map(chr, range(33, 127)))
_ORDINARY = re.compile(
    r"[\d.,:+-]+|true|false|none|null|yes|no|on|off|development|production|staging|testing|localhost|debug|info|warning|error",
    re.IGNORECASE,
)
"""What a ``.env`` file may hold that is no secret, and that a transcript would be unreadable without."""
# No pattern looks further from one place than a fixed way, or at what it takes: else a long text would take for ever.
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_.]*[ \t]*=(?P<value>.+)$", re.MULTILINE)
_ENV_FILE = re.compile(r"(?:^|[\s/\"'=])\.env(?:\.[A-Za-z0-9_-]+)?(?:$|[\s\"';|&)])")
_BEFORE = r"(?<!\w{})"
"""That what was matched so far begins a word: said behind it, since only what begins with its mark is found quickly."""
_KEYS = {
    **{mark: r"[A-Za-z0-9_-]{16,}" for mark in ("sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "cnb-", "cnb_", "glpat-")},
    **{mark: r"[A-Za-z0-9]{20,}" for mark in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "hf_")},
    **{mark: r"[A-Za-z0-9-]{10,}" for mark in ("xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-")},
    "github_pat_": r"[A-Za-z0-9_]{20,}",
    "npm_": r"[A-Za-z0-9]{36,}",
    "pypi-": r"AgE[A-Za-z0-9_-]{50,}",
    "SG.": r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43,}",
    "ya29.": r"(?:[a-z]\.)?[A-Za-z0-9_-]{20,}",
    "AKIA": r"[0-9A-Z]{16}\b",
    "ASIA": r"[0-9A-Z]{16}\b",
    "AIza": r"[0-9A-Za-z_-]{30,}",
    "eyJ": r"[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
}
"""What keys begin with, and how they go on."""
_SHAPES = {
    "-----BEGIN ": re.compile(
        r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))", re.DOTALL
    ),
    **{
        mark: re.compile(f"(?P<secret>{re.escape(mark)}{_BEFORE.format(re.escape(mark))}{rest})")
        for mark, rest in _KEYS.items()
    },
    "Bearer ": re.compile(r"Bearer (?=(?P<secret>[A-Za-z0-9._~+/=-]{12,}))"),
    "bearer ": re.compile(r"bearer (?=(?P<secret>[A-Za-z0-9._~+/=-]{12,}))"),
    "://": re.compile(r"://(?P<secret>[^\s/:@]*:[^\s/@]+)@"),
}
"""Each by what it begins with: most texts hold few of these marks, and looking for a mark costs next to nothing."""
_NAMES = ("key", "token", "secret", "passw", "credential")
_NAMED = re.compile(
    r"""(?P<name>(?:key|token|secret|passw(?:or)?d|credential)[A-Za-z0-9_-]{0,64}["']?\s*[:=]\s*["']?)"""
    r"""(?P<value>(?=[^\s"',;]{0,200}\d)(?=[^\s"',;]{0,200}[A-Za-z])[A-Za-z0-9+/_=.~-]{12,})""",
    re.IGNORECASE,
)
"""``API_KEY = "a1b2..."``: a name that says so (one of `_NAMES`), and a value of letters and digits."""


class Redactor:
    """Hides known secrets and what looks like one."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = sorted({value for value in known if len(value) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, values))) if values else None
        self._longest = len(values[0]) if values else 0

    def settled(self, text: str) -> str:
        """What can be shown of a redacted text that still grows: without what may be the beginning of a secret.

        A secret is one run of printable ASCII characters, or known, and then no longer than the longest that is.
        """
        return text[: max(0, min(len(text.rstrip(_PRINTABLE)), len(text) - self._longest))]

    def text(self, text: str) -> str:
        """A text without its secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        text = _without_shapes(text)
        folded = text.casefold()
        if not any(name in folded for name in _NAMES):
            return text
        return _NAMED.sub(lambda found: found["name"] + HIDDEN, text)

    def data(self, value: Any) -> Any:
        """JSON-like data with every text in it redacted, names of fields too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._named(str(key), each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(each) for each in value]
        return value

    def _named(self, name: str, value: Any) -> Any:
        secret = isinstance(value, str) and len(value) >= SHORTEST and SECRET_NAME.search(name)
        return HIDDEN if secret and " " not in value else self.data(value)

    def value(self, value: T) -> T:
        """A value of the core, with all texts in it redacted; ids and words of ours are not of a secret's shape."""
        kind = type(value)
        return msgspec.convert(self.data(msgspec.to_builtins(value, builtin_types=(bytes,))), kind)

    def entry(self, entry: Entry) -> Entry:
        """An entry, its body redacted; one of an unknown kind too."""
        body = entry.body
        if isinstance(body, Unknown):
            hidden = msgspec.json.encode(self.data(msgspec.json.decode(body.data)))
            return msgspec.structs.replace(entry, body=Unknown(kind=body.kind, data=hidden))
        found = self.data(msgspec.to_builtins(body, builtin_types=(bytes,)))
        return msgspec.structs.replace(entry, body=msgspec.convert(found, cast("type[AnyBody]", AnyBody)))


def _without_shapes(text: str) -> str:
    """A text without what has the shape of a key; where one lies across another, both go."""
    patterns = [pattern for mark, pattern in _SHAPES.items() if mark in text]
    pieces, at = [], 0
    for start, end in sorted(found.span("secret") for pattern in patterns for found in pattern.finditer(text)):
        if start >= at:
            pieces += [text[at:start], HIDDEN]
        at = max(at, end)
    return "".join([*pieces, text[at:]])


def secrets_of(environ: Mapping[str, str]) -> frozenset[str]:
    """The values of variables whose names say that they are secret."""
    return frozenset(v for name, v in environ.items() if SECRET_NAME.search(name) and len(v) >= SHORTEST)


def secrets_within(settings: Any) -> frozenset[str]:
    """The values of fields whose names say that they are secret, anywhere in JSON-like data."""
    if isinstance(settings, Mapping):
        named = secrets_of({name: value for name, value in settings.items() if isinstance(value, str)})
        return named.union(*map(secrets_within, settings.values()))
    if isinstance(settings, list | tuple):
        return frozenset().union(*map(secrets_within, settings))
    return frozenset()


def secrets_in(dotenv: str) -> frozenset[str]:
    """The values that a ``.env`` file assigns, but for those that are plainly no secret."""
    values = (_unquoted(found["value"].strip()) for found in _ASSIGNED.finditer(dotenv))
    return frozenset(value for value in values if len(value) >= SHORTEST and not _ORDINARY.fullmatch(value))


def secrets_seen(entries: Iterable[Entry]) -> frozenset[str]:
    """What tool calls of a transcript showed of ``.env`` files."""
    found: set[str] = set()
    for entry in entries:
        if isinstance(entry.body, ToolCall) and _looked_into_env(entry.body):
            found |= secrets_in(entry.body.content)
    return frozenset(found)


def _looked_into_env(call: ToolCall) -> bool:
    if any(location.path.replace("\\", "/").rsplit("/", 1)[-1].startswith(".env") for location in call.locations):
        return True
    given = call.input if isinstance(call.input, str) else msgspec.json.encode(call.input, enc_hook=str).decode()
    return bool(_ENV_FILE.search(given) or _ENV_FILE.search(call.title))


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
