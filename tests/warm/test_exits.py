"""Why a process ended, in plain words."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.warm.exits import cause, explain, last_words


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (None, "it closed its output"),
        (0, "it ended as if it were done"),
        (1, "it ended with exit code 1"),
        (127, "its program, or one that it needs, was not found (exit code 127)"),
        (-signal.SIGKILL, "it was killed (SIGKILL), as the system does when memory runs out"),
        (-signal.SIGUSR1, "it was ended by SIGUSR1"),
        (-63, "it was ended by signal 63"),
    ],
)
def test_a_return_code_has_a_cause(returncode: int | None, words: str) -> None:
    assert cause(returncode) == words


def test_the_last_words_are_the_last_line_that_says_something() -> None:
    assert last_words("one\n\x1b[31mError: two\x1b[0m\n\n  }\n---\n") == "Error: two"
    assert last_words("loading 1%\rloading 2%\rfailed") == "failed"
    assert last_words("") == last_words(" \n{}\n") == ""
    assert len(last_words("x" * 1000)) == 300


@given(st.integers(-70, 300), st.text())
def test_an_explanation_is_one_line_with_the_cure(returncode: int, stderr: str) -> None:
    said = explain("goose", returncode, stderr)
    assert said.startswith("goose stopped working: it")
    assert said.endswith("Prompt again to start it afresh.")
    assert len(said.splitlines()) == 1
