"""What the name of a changed file says of what it holds."""

from __future__ import annotations

import pytest

from coder_nb.core.changes import is_secret


@pytest.mark.parametrize(
    "path",
    [".env", "a/.env.local", "b/server.PEM", "id_rsa", "id_ed25519.old", "x.key", "deep/credentials.json", ".netrc"],
)
def test_files_that_hold_keys_are_known_by_their_names(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize("path", [".env.example", "id_rsa.pub", "keys.py", "environment.yml", "a.env/readme", "monkey"])
def test_ordinary_files_are_not_taken_for_secrets(path: str) -> None:
    assert not is_secret(path)
