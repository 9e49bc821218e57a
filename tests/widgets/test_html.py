from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from coder_nb.client import text
from coder_nb.client.snapshot import MOST_ENTRIES, MOST_TEXT, Snapshot, newest
from coder_nb.core import entries as core
from coder_nb.core.changes import Change
from coder_nb.core.entries import AnyBody, Entry, Unknown
from coder_nb.core.hunks import Hunk
from coder_nb.core.sessions import ChatInfo, SessionInfo
from coder_nb.core.usage import UsageRow
from coder_nb.widgets import html
from coder_nb.widgets.markdown import markdown_html
from coder_nb.widgets.style import CSS, DARK, LIGHT, PAIRS

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'&<b>'
CHAT = ChatInfo(id="c", session_id="s")
SESSION = SessionInfo(id="s", owner="me", path="/repo")


class Tags(HTMLParser):
    """Which tags and attributes a page has, and whether every tag is closed."""

    VOID = ("br", "hr", "img", "col", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes.update((name, value or "") for name, value in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def entry(body: AnyBody | Unknown, **fields: Any) -> Entry:
    return Entry(id="e", chat_id="c", turn_id="t", body=body, **fields)


def snapshot(*bodies: AnyBody | Unknown, **fields: Any) -> Snapshot:
    return Snapshot(chat=CHAT, session=SESSION, entries=tuple(map(entry, bodies)), **fields)


def hostile_bodies() -> list[AnyBody]:
    return [
        core.TurnStarted(agent=HOSTILE, model=HOSTILE),
        core.UserMessage(text=HOSTILE),
        core.Text(
            text=f"{HOSTILE}\n\n[x](javascript:alert(1)) ![x](https://example.org/x.png)\n\n```{HOSTILE}\n{HOSTILE}\n```"
        ),
        core.Text(text=f"```python\nprint('{HOSTILE}')\n```\n\n| a | b |\n|---|---|\n| {HOSTILE} | 2 |"),
        core.Reasoning(text=HOSTILE),
        core.ToolCall(
            name=HOSTILE, title=HOSTILE, input={"command": HOSTILE}, content=HOSTILE, status="failed", exit_code=1
        ),
        core.Plan(items=(core.PlanItem(text=HOSTILE),)),
        core.Permission(request_id="r", title=HOSTILE, tool=HOSTILE, by=HOSTILE),
        core.Question(request_id="r", text=HOSTILE, answer=(HOSTILE,)),
        core.FileChange(change_id="x", path=HOSTILE, additions=1, deletions=1),
        core.Notice(text=HOSTILE),
        core.Error(message=HOSTILE),
        core.Raw(source=HOSTILE, type=HOSTILE),
        core.TurnEnded(end="failed", message=HOSTILE),
    ]


def hostile_change() -> Change:
    hunk = Hunk(
        old_start=1, old_lines=1, new_start=1, new_lines=1, lines=(f"-{HOSTILE}", f"+{HOSTILE}", "\\ No newline")
    )
    return Change(
        id="x",
        session_id="s",
        chat_id="c",
        turn_id="t",
        path=HOSTILE,
        operation="edit",
        agent=HOSTILE,
        hunks=(hunk,),
        note=HOSTILE,
    )


def test_whatever_an_agent_says_no_tag_of_it_reaches_the_page() -> None:
    change = hostile_change()
    usage = UsageRow(
        entry_id="e",
        chat_id="c",
        session_id="s",
        turn_id="t",
        agent=HOSTILE,
        ts=1,
        tokens=core.Tokens(input=1),
        model=HOSTILE,
    )
    pages = [
        html.transcript_html(snapshot(*hostile_bodies(), changes=(change,), usage=(usage,), turn_id="t")),
        html.diff_html([change]),
        html.usage_html([usage]),
    ]
    for page in pages:
        tags = Tags(page)
        assert not tags.open
        assert not tags.seen & {"script", "img", "iframe", "b", "form", "input", "link", "object", "svg"}
        assert not any(name.startswith("on") or name == "src" for name, _ in tags.attributes)
        assert not any("javascript" in value for _, value in tags.attributes)


def test_every_kind_of_entry_is_drawn_and_written() -> None:
    kinds = set(core.Body.__subclasses__())
    assert set(html.DRAWN) == kinds
    assert set(text.DRAWN) == kinds


def test_an_unknown_kind_is_shown_by_its_name() -> None:
    body = Unknown(kind="hologram<b>", data=b'{"kind":"hologram<b>"}')
    assert "hologram&lt;b&gt;" in html.transcript_html(snapshot(body))
    assert text.transcript_text([entry(body)]) == "(hologram<b>)"


@pytest.mark.parametrize(
    "address",
    ["vscode://file/x", "files/x.html", "//example.org/x", "data:image/png;base64,AA==", "file:///etc/passwd", "#x"],
)
def test_a_link_to_anything_but_the_web_and_mail_is_text(address: str) -> None:
    for markdown in (f"[a]({address})", f"<{address}>", f"[a][b]\n\n[b]: {address}"):
        assert "href" not in markdown_html(markdown)


def test_nothing_hides_in_what_was_asked_called_or_changed() -> None:
    hidden = "a\u202eb"
    page = html.transcript_html(
        snapshot(
            core.ToolCall(name=hidden, title=hidden, input={"command": hidden}),
            core.Question(request_id="r", text=hidden, choices=(core.Choice(id="1", label=hidden),)),
            core.FileChange(change_id="x", path=hidden),
        )
    )
    assert "\u202e" not in page
    assert page.count("a[U+202E]b") == 6
    assert text.revealed("x\ufe0f\u200dy") == "x[U+FE0F][U+200D]y"
    assert text.revealed("Größe ⚠️ 👩‍🔬 ❤️") == "Größe ⚠️ 👩‍🔬 ❤️", "what belongs to emoji hides nothing"


def test_markdown_brings_tables_code_and_links_but_no_image() -> None:
    page = markdown_html("[a](https://example.org) ![b](https://example.org/b.png)\n\n```python\ndef f(): pass\n```")
    assert 'rel="noopener noreferrer"' in page
    assert "<img" not in page
    assert '<span class="k">def</span>' in page


def test_code_of_an_unknown_language_is_shown_as_it_is() -> None:
    assert markdown_html("```klingon\n<a>\n```") == "<pre><code>&lt;a&gt;\n</code></pre>\n"


def test_what_is_unknown_is_a_dash_and_never_nought() -> None:
    row = UsageRow(
        entry_id="e", chat_id="c", session_id="s", turn_id="t", agent="goose", ts=1, tokens=core.Tokens(output=7)
    )
    cells = re.findall(r"<td>(.*?)</td>", html.usage_html([row]))
    assert cells == ["1", "–", "7", "–"]


def test_what_is_not_counted_is_shown_and_is_in_no_sum() -> None:
    def row(agent: str, output: int, counted: bool) -> UsageRow:
        tokens = core.Tokens(output=output)
        return UsageRow(
            entry_id="e",
            chat_id="c",
            session_id="s",
            turn_id="t",
            agent=agent,
            ts=1,
            tokens=tokens,
            counted=counted,
        )

    rows = [row("replay", 7, False), row("goose", 5, True)]
    page = html.usage_html(rows)
    assert re.findall(r"<th>(\w+)</th><th></th><td>1</td><td>–</td><td>(\d+)</td>", page) == [
        ("replay", "7"),
        ("goose", "5"),
        ("All", "5"),
    ]
    assert "in no sum" in page
    assert text.usage_text(rows) == "5 tokens out (7 tokens out, not counted)"


def test_a_diff_numbers_its_lines_as_the_file_does() -> None:
    hunk = Hunk(old_start=7, old_lines=2, new_start=9, new_lines=2, lines=(" a", "-b", "+c"))
    change = Change(id="x", session_id="s", chat_id="c", turn_id="t", path="a.py", operation="edit", hunks=(hunk,))
    rows = re.findall(r'<tr class="(\w*)"><td>(\d*)</td><td>(\d*)</td><td>(.*?)</td>', html.diff_html([change]))
    assert rows == [("", "7", "9", " a"), ("del", "8", "", "-b"), ("add", "", "10", "+c")]


def test_a_snapshot_stays_small_whatever_an_agent_does() -> None:
    call = core.ToolCall(name="terminal", content="x" * 10 * MOST_TEXT, input={"text": "y" * 2 * MOST_TEXT})
    entries = newest([entry(call)] * (MOST_ENTRIES + 5))
    assert len(entries) == MOST_ENTRIES
    cut = entries[0].body
    assert isinstance(cut, core.ToolCall)
    assert len(cut.content) < MOST_TEXT + 50
    assert cut.content.endswith("90,000 more characters")
    assert cut.input is None


def test_a_snapshot_keeps_no_long_question_that_is_answered_and_nothing_long_that_was_not_understood() -> None:
    long = {"text": "y" * 2 * MOST_TEXT}
    diff = core.FileDiff(path="a", new="z" * MOST_TEXT)
    answered = core.Permission(request_id="r", title="Write a", input=long, diffs=(diff,), status="allowed")
    pending = core.Permission(request_id="s", input=long, diffs=(diff,))
    short = core.Raw(source="x", data={"a": 1})
    bodies = [e.body for e in newest([entry(body) for body in (answered, pending, core.Raw("x", data=long), short)])]
    expected = core.Permission(request_id="r", title="Write a", status="allowed")
    assert bodies == [expected, pending, core.Raw("x"), short]


def test_terminal_control_sequences_of_an_agent_are_taken_out() -> None:
    wild = "\x1b]0;title\x07\x1b[31mred\x1b[0m \x9b2J\x00plain\r\n"
    assert text.clean(wild) == "red 2Jplain\n"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_is_at_least_four_and_a_half_to_one(theme: dict[str, str]) -> None:
    for word, ground in PAIRS:
        assert contrast(theme[word], theme[ground]) >= 4.5, (word, ground)


def test_every_colour_that_the_style_uses_is_in_both_themes() -> None:
    used = set(re.findall(r"var\(--cnb-([a-z-]+)\)", CSS))
    assert used <= set(LIGHT) == set(DARK)


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_question_is_shown_with_its_choices_and_its_answer() -> None:
    choices = (core.Choice(id="r", label="Red"), core.Choice(id="b", label="Blue", description=HOSTILE))
    asked = core.Question(
        request_id="q", text=f"Which? {HOSTILE}", choices=choices, status="answered", answer=("b", HOSTILE), by="ana"
    )
    page = html.entry_html(entry(asked))
    assert Tags(page).seen <= {"div", "p", "ul", "li", "span"}
    assert "<li>Red</li>" in page
    assert "– Blue, &lt;script&gt;" in page
    assert page.count("by ana") == 1
    nobody = core.Question(request_id="q", text="Which?", status="declined", by="nobody")
    assert "nobody was there to answer" in html.entry_html(entry(nobody))
