"""A command line as its shell will read it, where that can be told from the text alone; pure.

What a line does may depend on what its text does not show: substitutions, variables, files that it is redirected to.
Such a line is not read at all. What is read means the same to the POSIX shells, zsh and fish.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 8192
"""Beyond so many characters a line is not read."""
_UNREAD = frozenset("$`()#")
"""What makes a line mean more than it shows, wherever it stands unquoted; a ``#`` only where a word begins."""
_EXPANDS = frozenset("*?[]{}~=^")
_TO_NOWHERE = re.compile(r"(?:>{1,2}|<)[ \t]*/dev/null(?=[\s;|&]|\Z)|>&[0-9](?=[\s;|&]|\Z)")
_BOTH_TO_NOWHERE = re.compile(r"&>[ \t]*/dev/null(?=[ \t]*(?:[;|&\n]|\Z))")
"""At the end of a command only: to some shells the ``&`` ends it, so that what follows would be another one."""

_COMPUTE = frozenset(
    {
        *("printf", "print", "test", "[", "read", "mapfile", "readarray", "getopts", "wait", "let", "unset", "typeset"),
        *("declare", "local", "export", "readonly", "integer", "float", "shift", "repeat"),
    }
)
"""Commands of the shells themselves that compute what they are given: a subscript in it may run something."""
_COMPUTED = re.compile(r"\[.*[$`]", re.DOTALL)


class Word(NamedTuple):
    """A word of a command, without its quotes."""

    text: str
    literal: bool = True
    """Whether it is what it says; False where the shell may make something else of it, such as the names of files."""


Simple = tuple[Word, ...]
"""One command of a line: its program, and what that is given."""


def read(line: str) -> tuple[Simple, ...] | None:
    """The commands of a line, however they are chained; None where its text does not tell them.

    Where output goes nowhere or to another output (``2>&1``, ``>/dev/null``) is left out, as it changes nothing.
    """
    if len(line) > LONGEST or any(not (char.isprintable() or char in "\n\t") for char in line):
        return None
    try:
        commands = tuple(_Reader(line).commands())
    except _Unread:
        return None
    return commands or None


class _Unread(Exception):
    """The line means more than its text shows."""


class _Reader:
    """Goes through a line once, from left to right."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0
        self._words: list[Word] = []
        self._word: str | None = None
        self._literal = True
        self._quoted = False

    def commands(self) -> Iterator[Simple]:
        last = "\n"
        while self._at < len(self._line):
            if (separator := self._separator()) is None:
                self._step()
                continue
            self._end_word()
            if self._words:
                yield self._command()
                last = separator
            elif separator != "\n":
                raise _Unread
        self._end_word()
        if self._words:
            yield self._command()
        elif last not in ("\n", ";", "&"):
            raise _Unread

    def _command(self) -> Simple:
        """Takes the words that have come together."""
        (program, *given), self._words = self._words, []
        if program.text in _COMPUTE and any(_COMPUTED.search(word.text) for word in given):
            raise _Unread
        return (program, *given)

    def _separator(self) -> str | None:
        """Takes what stands between two commands; None where nothing of the kind is here."""
        if self._line.startswith("&>", self._at):
            return None
        for mark in ("&&", "||", "|&", "|", ";", "&", "\n"):
            if self._line.startswith(mark, self._at):
                self._at += len(mark)
                return mark
        return None

    def _step(self) -> None:
        char = self._line[self._at]
        if char in " \t":
            self._at += 1
            self._end_word()
        elif char in "<>&":
            self._redirection()
        elif char in "'\"":
            self._quotation(char)
        elif char == "\\":
            self._escape()
        elif char in _UNREAD and (char != "#" or self._word is None):
            raise _Unread
        else:
            self._literal = self._literal and char not in _EXPANDS
            self._add(char)
            self._at += 1

    def _redirection(self) -> None:
        found = (_BOTH_TO_NOWHERE if self._line[self._at] == "&" else _TO_NOWHERE).match(self._line, self._at)
        if found is None:
            raise _Unread
        if self._word is not None and not self._quoted and self._word.isdigit():
            self._word = None  # the number of the output
        self._end_word()
        self._at = found.end()

    def _quotation(self, mark: str) -> None:
        self._quoted = True
        self._add("")
        self._at += 1
        while self._at < len(self._line):
            char = self._line[self._at]
            if char == mark:
                self._at += 1
                return
            if mark == "'":
                if self._line.startswith("\\'", self._at):  # of which fish and the others make different things
                    raise _Unread
            elif char in "$`":
                raise _Unread
            elif char == "\\":
                self._at += 1
                following = self._line[self._at : self._at + 1]
                char = "" if following in ("\n", "") else following if following in '"\\$`' else "\\" + following
            self._add(char)
            self._at += 1
        raise _Unread

    def _escape(self) -> None:
        following = self._line[self._at + 1 : self._at + 2]
        if not following:
            raise _Unread
        if following != "\n":
            self._quoted = True
            self._literal = self._literal and not following.isalnum()  # of which fish makes a character of its own
            self._add(following)
        self._at += 2

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is not None:
            self._words.append(Word(self._word, self._literal))
        self._word, self._literal, self._quoted = None, True, False
