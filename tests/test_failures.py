"""Failures that systems of this kind have shipped, each with the tests that hold this one to something better.

The tests live where they belong; this is their index. A test belongs here where it would fail if that very thing went
wrong again.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent

OF_HOSTS: dict[str, tuple[str, ...]] = {
    "the late end of a stopped turn ends the turn after it": (
        "backends/opencode/test_turns.py::test_the_late_end_and_the_late_text_of_a_stopped_turn_are_not_the_next_ones",
        "backends/acp/test_session.py::test_a_late_answer_to_a_stopped_prompt_ends_that_one_and_no_other",
        "backends/claude/test_turns.py::test_a_stale_end_after_a_stop_does_not_end_the_next_turn",
        "backends/claude/test_turns.py::test_only_its_own_result_ends_a_prompt",
        "runtime/test_turns.py::test_a_stopped_turn_is_never_recorded_as_complete_however_late_its_end_comes",
    ),
    "who waits for the late end of a stopped turn, which never comes, takes the next turn's own end for it": (
        "backends/opencode/test_turns.py::test_a_stop_whose_end_never_came_swallows_no_end_of_the_next_turn",
        "backends/claude/test_turns.py::test_an_end_that_never_comes_after_a_stop_does_not_hang_it",
    ),
    "a turn ends before anybody listens, and hangs": (
        "backends/opencode/test_turns.py::test_an_end_that_comes_at_once_is_heard",
    ),
    "a stream ends, is cut, or falls silent, and the turn with it never ends": (
        "backends/opencode/test_turns.py::test_an_end_that_was_lost_with_the_stream_is_found_by_asking",
        "backends/opencode/test_turns.py::test_a_turn_whose_end_never_comes_is_ended_by_asking",
        "backends/opencode/test_server.py::test_a_dead_server_fails_its_turns_and_the_next_chat_starts_another",
        "backends/acp/test_session.py::test_half_a_line_at_the_end_is_kept",
    ),
    "an end is lost while a stream is made again, and the chat stays busy": (
        "backends/opencode/test_turns.py::test_an_end_that_was_lost_with_the_stream_is_found_by_asking",
        "backends/opencode/test_turns.py::test_what_was_lost_with_the_stream_is_told_once_and_in_order",
    ),
    "text that comes in parts and as a whole, or by two kinds of events, is shown twice": (
        "backends/opencode/test_once.py::test_parts_that_come_interleaved_as_deltas_and_whole_are_told_once",
        "backends/opencode/test_once.py::test_another_family_of_events_about_the_same_text_adds_nothing",
    ),
    "a message, a character or a secret that is cut in two is not recognised": (
        "backends/acp/test_wire.py::test_messages_survive_any_partition_of_their_bytes",
        "backends/opencode/test_golden.py::test_how_the_bytes_are_parted_changes_nothing",
        "runtime/test_links.py::test_a_secret_is_never_seen_however_it_is_cut_into_pieces",
    ),
    "a tool call runs on for ever in the transcript of a turn that is over": (
        "runtime/test_turns.py::test_when_a_turn_ends_nothing_in_it_is_open",
        "runtime/test_recorder.py::test_when_a_turn_ends_everything_open_has_an_end",
        "backends/claude/test_golden.py::test_a_recording_becomes_its_golden_events",
        "runtime/test_sharing.py::test_what_a_killed_process_left_is_interrupted_and_none_of_its_agents_is_left",
    ),
    "a message that is not quite as expected is thrown away, and the end of the turn with it": (
        "backends/opencode/test_golden.py::test_a_message_without_a_model_has_its_text_and_its_tokens",
        "backends/opencode/test_golden.py::test_what_is_not_understood_loses_nothing_else",
        "backends/acp/test_golden.py::test_nothing_strange_that_an_agent_says_loses_anything_else",
        "backends/claude/test_golden.py::test_what_is_not_known_is_kept_and_loses_nothing_else",
    ),
    "a turn that was stopped is recorded as complete, or stays streaming": (
        "core/test_lifecycle.py::test_whatever_happens_a_turn_ends_at_most_once_and_stays_ended",
        "runtime/test_stop.py::test_a_stop_ends_a_turn_whatever_it_is_doing",
        "runtime/test_stop.py::test_a_stop_at_any_moment_is_a_stop_and_the_next_turn_is_whole",
    ),
    "an agent is evicted while it works, or by a decision that was made before its prompt": (
        "warm/test_policy.py::test_any_situation_obeys_the_laws",
        "warm/test_policy.py::test_what_was_decided_is_done_only_where_nobody_has_used_it_since",
        "warm/test_pool.py::test_one_that_was_used_after_it_was_decided_to_let_it_go_stays",
        "runtime/test_supervision.py::"
        "test_beyond_the_limit_the_one_that_was_used_longest_ago_goes_and_never_a_busy_one",
    ),
    "several first prompts start several processes": (
        "backends/acp/test_pooling.py::test_fifty_first_prompts_at_once_start_one_process",
        "backends/opencode/test_server.py::test_fifty_chats_that_begin_at_once_start_one_server",
        "backends/claude/test_runtime.py::test_many_first_prompts_start_one_process",
        "runtime/test_native.py::test_fifty_first_prompts_at_once_open_one_session",
    ),
    "a connection that died between two turns is used for the next one": (
        "runtime/test_trouble.py::test_an_agent_that_is_killed_between_two_turns_costs_the_next_one_nothing",
    ),
    "a server that was started again listens elsewhere, and its readers at the place where it was": (
        "backends/opencode/test_server.py::"
        "test_a_server_whose_port_was_taken_over_starts_at_another_and_leaves_the_foreign_one_alone",
    ),
    "a process outlives its host, or one that is not ours is killed for its number or its port": (
        "warm/test_keeper.py::test_nothing_outlives_a_killed_host",
        "warm/test_keeper.py::test_nothing_outlives_a_host_that_is_killed_together_with_its_keeper",
        "warm/test_register.py::test_a_process_that_has_the_number_of_one_of_ours_is_not_ended",
        "warm/test_register.py::test_a_foreign_process_that_looks_like_ours_is_not_ended",
        "backends/opencode/test_server.py::"
        "test_a_server_whose_port_was_taken_over_starts_at_another_and_leaves_the_foreign_one_alone",
        "real/test_killed_server.py::"
        "test_a_server_that_is_killed_in_mid_turn_leaves_no_process_and_the_turn_of_every_agent_can_be_retried",
    ),
    "checks in quick succession count as many failures, or a server that is only busy is ended": (
        "warm/test_health.py::test_a_burst_of_failures_is_one",
        "runtime/test_supervision.py::test_one_check_of_a_server_that_fails_ends_nothing",
        "runtime/test_supervision.py::"
        "test_a_server_that_stands_still_is_ended_after_the_grace_where_something_runs_on_it",
    ),
    "deleting a session fails, or takes the rows of its worktrees along": (
        "store/test_upgrades.py::test_deleting_anything_in_any_order_leaves_the_worktrees",
    ),
    "work that was not committed, staged, pushed, merged or tracked is removed with a worktree": (
        "runtime/test_loss.py::test_nothing_is_lost",
        "core/test_risk.py::test_each_kind_of_work_is_a_risk",
    ),
    "a git that does not answer is taken for one that found nothing": (
        "runtime/test_loss.py::test_nothing_is_lost",
        "core/test_risk.py::test_whatever_is_in_doubt_is_left",
    ),
    "a crash between two steps of making or removing a worktree leaves half of it for good": (
        "worktrees/test_crashes.py::test_a_crash_at_any_step_is_mended_by_the_next_run",
        "runtime/test_kill_points.py::test_a_kill_at_any_step_is_mended_at_the_next_start",
        "runtime/test_ends.py::test_what_was_being_made_or_removed_when_its_runtime_died_goes",
    ),
    "what clears away old worktrees takes one that has an owner again, or follows a link": (
        "runtime/test_loss.py::test_nothing_is_lost",
        "core/test_risk.py::test_whatever_is_in_doubt_is_left",
        "runtime/test_ends.py::test_an_orphan_that_is_not_one_any_more_when_it_is_to_go_stays",
        "runtime/test_ends.py::test_an_orphan_that_is_a_link_stays_with_what_it_leads_to",
    ),
    "a change is put where it nearly fits, or applied several times": (
        "worktrees/test_laws.py::test_a_merge_is_never_silently_another_than_gits",
        "worktrees/test_laws.py::test_apply_then_undo_is_the_identity_and_twice_is_once",
        "worktrees/test_review.py::test_a_place_that_repeats_is_a_conflict_and_never_a_guess",
    ),
    "what was applied is shown again as a change": (
        "worktrees/test_review.py::test_applied_work_is_not_shown_again_and_other_pending_work_is",
    ),
    "importing or adopting twice fails, or makes two of one": (
        "runtime/test_copying.py::test_importing_twice_is_importing_once",
        "runtime/test_copying.py::test_a_native_session_is_adopted_once_and_gone_on_with",
    ),
    "what is made once only is made twice, or stays half made after a crash": (
        "store/test_conformance.py::test_the_store_keeps_the_contract",
        "store/test_processes.py::test_processes_that_open_a_new_store_at_once_make_one",
        "worktrees/test_worktrees.py::test_a_worktree_half_made_by_a_crash_is_made_whole",
    ),
    "a prompt that was running when its host died runs again by itself": (
        "runtime/test_sharing.py::test_what_a_killed_process_left_is_interrupted_and_none_of_its_agents_is_left",
        "runtime/test_turns.py::test_a_prompt_sent_twice_with_one_id_is_one_prompt",
    ),
    "an entry that is sent again is stored again, or a time has the wrong unit": (
        "backends/claude/test_session_store.py::test_each_uuid_is_stored_once_however_batches_repeat_and_overlap",
        "backends/claude/test_session_store.py::test_it_keeps_the_contracts_of_the_sdk",
        "runtime/test_copying.py::test_importing_twice_is_importing_once",
    ),
    "a reader's place of before a restart is taken for one of after it": (
        "runtime/test_trouble.py::"
        "test_a_reader_goes_on_with_its_cursor_after_a_restart_and_live_text_of_before_means_nothing",
    ),
    "a reader that takes nothing blocks the others, or fills the memory": (
        "server/test_stream.py::test_a_frozen_reader_is_sent_away_and_harms_nobody",
        "runtime/test_feed.py::test_a_listener_who_never_listens_costs_nothing_however_much_is_said",
    ),
    "a reader that fails ends the telling for all": (
        "runtime/test_trouble.py::test_a_reader_that_fails_takes_nobody_with_it",
    ),
    "a replay, a resume, a fork or an import counts what was counted, or an answer's first count stays": (
        "backends/test_replay.py::test_what_is_replayed_is_never_counted",
        "backends/acp/test_session.py::test_what_was_spent_before_a_resume_is_not_counted_again",
        "runtime/test_copying.py::test_usage_of_a_fork_is_shown_and_never_counted_again",
        "runtime/test_copying.py::test_importing_twice_is_importing_once",
        "readers/test_claude.py::test_a_fork_counts_what_it_copied_no_second_time",
        "readers/test_claude.py::test_several_lines_are_one_response_with_the_last_count_and_the_first_time",
    ),
    "what a resource holds is called as something else on it, and replaces it": (
        "client/test_exporting.py::test_the_names_of_what_a_resource_holds_are_no_names_of_anything_else_on_it",
    ),
    "a key is in a log, in an agent's last words, in its environment, or in what is exported": (
        "runtime/test_journal.py::test_nothing_of_a_prompt_of_an_agents_words_or_of_a_key_is_logged",
        "warm/test_process.py::test_secrets_that_were_passed_are_blanked_out_of_stderr",
        "backends/test_program.py::test_no_canary_reaches_any_agent_and_what_is_named_does",
        "server/test_canaries.py::test_no_secret_reaches_a_log_an_agent_or_an_export",
        "runtime/test_copying.py::test_no_secret_of_the_environment_of_a_dotenv_file_or_of_a_tool_leaves_in_an_export",
    ),
    "an id leads out of its folder, fits everything, or is taken for an option": (
        "server/test_requests.py::test_what_cannot_be_an_id_is_not_found_at_any_address_and_reaches_nothing",
        "server/test_requests.py::test_a_path_that_could_be_anywhere_is_refused",
    ),
    "a page that is not on this machine and has no certificate lacks what the panel needs": (
        "browser/test_look.py::test_it_works_where_the_page_is_no_secure_context",
    ),
    "an update of an unknown kind takes what comes with it along": (
        "backends/acp/test_session.py::test_what_is_not_known_is_kept_and_stops_nothing",
        "backends/acp/test_golden.py::test_nothing_strange_that_an_agent_says_loses_anything_else",
        "backends/opencode/test_turns.py::test_what_is_not_understood_is_kept_as_it_came",
        "core/test_export.py::test_an_entry_of_an_unknown_kind_goes_out_and_comes_back_unchanged",
    ),
    "an agent that answers nothing holds up the end of its host": (
        "backends/acp/test_session.py::test_an_agent_that_cannot_read_does_not_hold_up_stop_or_close",
        "backends/acp/test_session.py::test_an_idle_agent_that_answers_nothing_does_not_hold_up_close",
        "server/test_real_server.py::test_nothing_that_we_started_outlives_a_server_that_ends_in_mid_turn",
        "warm/test_keeper.py::test_an_orderly_close_ends_all_within_its_bound",
    ),
    "a permission or a question waits on after its turn": (
        "runtime/test_stop.py::test_a_stop_ends_a_turn_whatever_it_is_doing",
        "runtime/test_turns.py::test_when_a_turn_ends_nothing_in_it_is_open",
        "runtime/test_questions.py::test_a_stop_expires_the_questions_that_are_open",
    ),
    "commands that are told before the session is there, or long after, are not known": (
        "backends/acp/test_commands.py::"
        "test_commands_are_known_whether_they_are_told_before_or_after_the_session_is_there",
    ),
    "a fork of a chat that is at work ends in the middle of a sentence": (
        "runtime/test_copying.py::test_a_fork_is_never_made_in_the_middle_of_a_turn",
    ),
}
"""What hosts of agents have got wrong."""

OF_NOTEBOOKS: dict[str, tuple[str, ...]] = {
    "an agent that died in mid-turn is spoken to for ever, in new chats too": (
        "runtime/test_turns.py::test_an_agent_that_dies_ends_its_turn_as_failed_and_the_next_prompt_works",
    ),
    "a text after a thought, a plan and a picture has the picture's name in it": (
        "runtime/test_trouble.py::test_a_picture_between_a_plan_and_a_text_is_neither_lost_nor_part_of_the_text",
        "runtime/test_recorder.py::test_thought_plan_tool_and_text_are_entries_of_their_own_and_a_plan_is_one",
    ),
    "of two copies of a notebook, one is answered in the other": (
        "runtime/test_trouble.py::"
        "test_two_copies_of_a_notebook_that_are_open_at_once_see_one_chat_and_each_its_own_prompts",
    ),
    "a permission that nobody can answer is waited for without end": (
        "runtime/test_turns.py::test_where_nobody_can_answer_the_call_is_denied_and_the_turn_says_so",
        "client/test_turn.py::test_a_turn_in_which_nobody_could_be_asked_says_so",
    ),
    "a store that was cut off is opened as an empty one, and written over": (
        "store/test_faults.py::test_a_store_that_was_cut_off_is_left_as_it_is",
    ),
    "each piece of a text costs as much as the whole chat": (
        "store/test_file.py::test_what_is_written_is_proportional_to_the_text",
        "store/test_statements.py::test_every_statement_finds_its_rows_by_an_index",
    ),
    "the buttons of a permission do nothing after a restart": (
        "runtime/test_trouble.py::test_a_permission_that_waits_when_the_runtime_ends_is_expired_in_the_next_one",
        "runtime/test_sharing.py::test_what_a_killed_process_left_is_interrupted_and_none_of_its_agents_is_left",
    ),
    "an agent that was asked once only is never ended": (
        "runtime/test_trouble.py::test_an_agent_that_is_wanted_for_one_prompt_only_is_gone_when_it_has_ended",
    ),
}
"""What agents in notebooks have got wrong."""

ROWS = OF_HOSTS | OF_NOTEBOOKS


@cache
def written_in(file: str) -> dict[str, list[str]]:
    """The tests of a file, with their decorators."""
    path = HERE / file
    nodes = ast.parse(path.read_text(encoding="utf-8")).body if path.name.startswith("test_") else []
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: [ast.unparse(one) for one in node.decorator_list] for node in functions}


def test_every_failure_has_its_tests() -> None:
    assert (len(OF_HOSTS), len(OF_NOTEBOOKS)) == (40, 8)
    assert all(ROWS.values())


@pytest.mark.parametrize("failure", ROWS)
def test_the_tests_of_a_failure_are_there_and_run_each_time(failure: str) -> None:
    for node in ROWS[failure]:
        file, _, name = node.partition("::")
        assert name.startswith("test_"), node
        assert name in written_in(file), node
        assert not [one for one in written_in(file)[name] if "LONG" in one or "skip" in one], node
