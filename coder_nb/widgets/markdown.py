"""Markdown and code of agents as HTML: no HTML of theirs passes, and nothing is loaded from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any

_LINK = re.compile(r"https?:|mailto:", re.IGNORECASE)
MOST_CODE = 20_000
"""Longer code is shown without colours, so that no text can keep a highlighter busy."""


def markdown_html(text: str) -> str:
    """Rendered Markdown with tables; images become links, links of other kinds than web and mail become text."""
    rendered: str = _renderer().render(text)
    return rendered


def code_html(code: str, language: str) -> str:
    """A block of code with its words classed by what they are."""
    return f"<pre><code>{_coloured(code, language)}</code></pre>"


@cache
def _renderer() -> Any:
    from markdown_it import MarkdownIt

    renderer: Any = MarkdownIt(
        "commonmark", {"html": False, "highlight": lambda code, language, _: code_html(code, language)}
    )
    renderer.enable(["table", "strikethrough"]).disable("image")
    renderer.validateLink = lambda url: bool(_LINK.match(url))  # others may open a program, or a file here
    renderer.add_render_rule("link_open", _link)
    return renderer


def _link(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    opened: str = renderer.renderToken(tokens, index, options, env)
    return opened


def _coloured(code: str, language: str) -> str:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not language or len(code) > MOST_CODE:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language.split()[0], stripnl=False, ensurenl=False)
    except (ClassNotFound, IndexError):
        return escape(code)
    return "".join(_spans(lexer.get_tokens(code)))


def _spans(tokens: Any) -> Iterator[str]:
    for kind, word in tokens:
        name = class_of(kind)
        yield f'<span class="{name}">{escape(word)}</span>' if name else escape(word)


@cache
def class_of(kind: Any) -> str:
    """The class of a kind of word, as `output.css` colours it; empty for one without a colour."""
    from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, String

    classes = (
        (Comment, "c"),
        (Keyword, "k"),
        (Operator.Word, "k"),
        (String, "s"),
        (Number, "n"),
        (Literal, "n"),
        (Name.Function, "f"),
        (Name.Class, "f"),
        (Name.Tag, "f"),
        (Name.Decorator, "f"),
    )
    return next((name for above, name in classes if kind in above), "")
