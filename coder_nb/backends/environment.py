"""What an agent's process may see of our environment: what is listed here or named for it, no more (law 19); pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

ALWAYS = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TMPDIR", "TZ",
        "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROGRAMDATA", "PROGRAMFILES",
        "PROGRAMFILES(X86)", "SYSTEMDRIVE",
        "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "WINDIR",
    }
)  # fmt: skip
"""In capitals; proxies are passed in small letters too."""

_PREFIXES = ("LC_", "XDG_")
_SMALL = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"})
_NEVER = ("JUPYTER*", "JPY*", "CODER_NB_*")
"""Whoever holds these acts as the user towards Jupyter, the hub or this runtime."""
_ONLY_BY_NAME = (
    "*DATABASE_URL*", "*DB_PASS*", "*DB_URL*", "*DSN*", "PGPASS*", "PGSERVICE*", "MYSQL_PWD", "*SQLALCHEMY*",
    "REDIS_URL", "MONGO*_URI",
)  # fmt: skip
"""Passwords of databases: passed where the user wrote the whole name, not where a pattern happens to fit."""


def agent_environment(
    source: Mapping[str, str],
    *,
    names: Iterable[str] = (),
    user_names: Iterable[str] = (),
    extra: Mapping[str, str] | None = None,
    python_bin: str | None = None,
    virtual_env: str | None = None,
) -> dict[str, str]:
    """The whole environment of an agent's process, but for the keeper's marker.

    `names` come from the registry and `user_names` from the user's settings; both may end in ``*``. `extra` is set as
    it is. With `python_bin`, the notebook's Python is the first one that the agent finds.
    """
    mine = tuple(user_names)
    wanted = (*names, *mine)
    found = {name: value for name, value in source.items() if _passes(name, wanted, mine)}
    if python_bin:
        others = [part for part in found.get("PATH", "").split(os.pathsep) if part and part != python_bin]
        found["PATH"] = os.pathsep.join([python_bin, *others])
        if virtual_env:
            found["VIRTUAL_ENV"] = virtual_env
    return found | dict(extra or {})


def _passes(name: str, wanted: tuple[str, ...], mine: tuple[str, ...]) -> bool:
    capitals = name.upper()
    if any(fnmatchcase(capitals, never) for never in _NEVER):
        return False
    if any(fnmatchcase(capitals, pattern) for pattern in _ONLY_BY_NAME):
        return name in mine
    listed = name in ALWAYS or name in _SMALL or (os.name == "nt" and capitals in ALWAYS)
    return listed or name.startswith(_PREFIXES) or any(fnmatchcase(name, pattern) for pattern in wanted)
