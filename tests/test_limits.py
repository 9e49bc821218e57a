"""Each limit that the reference names has its tests, at the bound and beyond it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
RUNTIME = "tests/runtime/test_limits.py::"
ACP = "tests/backends/acp/test_limits.py::"
SERVER = "tests/server/test_limits.py::"
FROZEN = "tests/server/test_frozen.py::"

TESTS = {
    "a prompt, or what a running turn is told": (
        f"{RUNTIME}test_a_prompt_at_the_limit_is_taken_and_one_beyond_it_is_refused",
        f"{RUNTIME}test_what_is_told_to_a_running_turn_has_the_limit_of_a_prompt",
    ),
    "the name of a session or a chat": (
        f"{RUNTIME}test_a_name_at_the_limit_is_taken_and_one_beyond_it_or_none_is_refused",
    ),
    "prompts that wait in a chat": (f"{RUNTIME}test_so_many_prompts_wait_and_one_more_is_refused_until_there_is_room",),
    "turns that run at the same time": ("tests/warm/test_line.py::test_every_course_of_five_turns_is_fair",),
    "agents that are kept warm": ("tests/warm/test_policy.py::test_any_situation_obeys_the_laws",),
    "the text of an entry": (f"{RUNTIME}test_text_at_the_limit_is_one_entry_and_a_character_more_goes_on_in_another",),
    "what a tool was given and gave": (
        f"{RUNTIME}test_the_output_of_a_tool_at_the_limit_is_whole_and_beyond_it_its_middle_is_left_out",
        "tests/core/test_limits.py::test_what_is_beyond_it_is_cut",
    ),
    "the entries of a turn": (f"{RUNTIME}test_a_turn_may_make_so_many_entries_and_one_that_makes_more_is_stopped",),
    "how far an agent is ahead of the store": (
        f"{RUNTIME}test_an_agent_that_says_more_than_the_store_takes_waits_and_nothing_is_lost",
        f"{ACP}test_an_agent_that_is_ahead_of_its_reader_waits_and_all_it_says_arrives",
    ),
    "a line that an agent writes": (f"{ACP}test_a_line_at_the_limit_is_taken_and_one_beyond_it_ends_the_agent",),
    "what an agent leaves unread": (f"{ACP}test_an_agent_that_leaves_too_much_unread_is_given_up",),
    "commands that an agent has us run at once": (
        f"{ACP}test_an_agent_may_run_so_many_commands_at_once_and_one_more_when_it_has_released_one",
    ),
    "the output of such a command": (
        f"{ACP}test_the_output_of_a_command_at_the_limit_is_whole_and_beyond_it_its_end_is_kept",
    ),
    "an agent's standard error": (
        "tests/warm/test_process.py::test_a_flood_of_stderr_blocks_nothing_and_its_end_is_kept",
    ),
    "what an agent is told of the others": ("tests/runtime/test_recap.py::test_it_is_bounded_and_the_newest_is_kept",),
    "what an agent says between two turns": (
        "tests/runtime/test_caps.py::test_what_a_thousand_agents_say_between_turns_is_bounded_and_the_latest_is_kept",
    ),
    "what an agent says in a turn of its own before that has its place": (
        "tests/runtime/test_begun.py::test_what_it_says_before_its_place_has_come_is_bounded_and_the_turn_says_so",
    ),
    "what is remembered of an agent's life": (
        "tests/runtime/test_journal.py::test_what_happened_to_an_agent_is_kept_the_latest_of_it",
        "tests/runtime/test_journal.py::test_neither_agents_nor_the_last_words_of_dead_ones_pile_up",
    ),
    "pages and kernels that follow chats": (
        f"{RUNTIME}test_so_many_may_read_and_one_more_is_told_until_another_has_left",
        f"{SERVER}test_a_reader_beyond_the_most_there_may_be_is_told_what_to_do",
    ),
    "what is held for a reader who is slow": (
        "tests/server/test_crossing.py::test_the_maker_waits_for_the_reader",
        "tests/runtime/test_feed.py::test_a_listener_who_never_listens_costs_nothing_however_much_is_said",
        f"{FROZEN}test_those_who_follow_a_flood_and_read_nothing_cost_no_more_than_what_is_held_for_them",
    ),
    "how long a reader may take nothing, of a stream or of one answer": (
        "tests/server/test_stream.py::test_a_frozen_reader_is_sent_away_and_harms_nobody",
        f"{FROZEN}test_those_who_ask_for_much_and_read_nothing_are_hung_up_on_and_leave_nothing_behind",
    ),
    "what a page says at once over its socket": (
        f"{SERVER}test_a_message_of_a_reader_at_the_limit_is_heard_and_one_beyond_it_closes_the_socket",
    ),
    "the body of a request": (f"{SERVER}test_a_body_at_the_limit_is_read_and_one_beyond_it_is_refused",),
    "the entries of one answer": (f"{SERVER}test_a_page_has_so_many_entries_at_most",),
    "what was said since, in one page": (
        "tests/store/test_log.py::test_a_page_ends_where_it_has_a_megabyte_and_what_is_left_is_in_the_next",
    ),
}
"""The tests of each limit, by what the reference calls it."""


def limits() -> list[tuple[str, ...]]:
    """The rows of the reference's table."""
    table = REFERENCE.partition("## Limits\n")[2].partition("\n## ")[0]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in table.splitlines() if "|" in line]
    return [row for row in rows if row[0] not in ("what", "---")]


def test_the_limits_that_are_tested_are_those_of_the_reference() -> None:
    assert [row[0] for row in limits()] == list(TESTS)
    assert all(most and beyond for _, most, _, beyond in limits())


@pytest.mark.parametrize("test", sorted({test for tests in TESTS.values() for test in tests}))
def test_each_of_these_tests_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", limits(), ids=lambda row: row[0])
def test_a_limit_that_can_be_set_is_what_its_setting_says(row: tuple[str, ...]) -> None:
    from coder_nb.settings import Settings

    _, most, setting, _ = row
    if setting and not most.startswith("6 times"):
        figure = int(re.sub(r"\D.*", "", most.replace(",", "")))
        assert getattr(Settings(), setting.strip("`")) == figure
