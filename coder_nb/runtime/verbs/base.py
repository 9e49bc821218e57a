"""What each group of verbs works with."""

from __future__ import annotations

from coder_nb.runtime.hosting import Host


class VerbGroup:
    """Some of the calls of `core.verbs.Verbs`; what each promises is said there."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._context = host.context
        self._store = host.context.store
