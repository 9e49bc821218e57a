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
_SHAPES = re.compile(
    r"""
      -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | \b(?:sk|rk|pk|cnb)[-_][A-Za-z0-9_-]{16,}
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_[A-Za-z0-9_]{20,} | \bglpat-[A-Za-z0-9_-]{16,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b | \bAIza[0-9A-Za-z_-]{30,} | \bhf_[A-Za-z0-9]{20,} | \bxox[abeprs]-[A-Za-z0-9-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{12,}
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMED = re.compile(
    r"""(?P<name>(?:key|token|secret|passw(?:or)?d|credential)[A-Za-z0-9_-]{0,64}["']?\s*[:=]\s*["']?)"""
    r"""(?P<value>(?=[^\s"',;]{0,200}\d)(?=[^\s"',;]{0,200}[A-Za-z])[A-Za-z0-9+/_=.~-]{12,})""",
    re.IGNORECASE,
)
"""``API_KEY = "a1b2..."``: a name that says so, and a value of letters and digits."""


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
        text = _SHAPES.sub(HIDDEN, text)
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
