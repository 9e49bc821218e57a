"""What a person asks of the frames, held to rows of which the answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rows import DAY, HOUR, MONDAY, Given, called, said, used

from coder_nb.analysis import views
from coder_nb.analysis.otel import document, spans
from coder_nb.client import frames, labels
from coder_nb.core.entries import Tokens
from coder_nb.core.rows import Turn
from coder_nb.errors import InvalidOption

# Sums ----------------------------------------------------------------------------------------------------------------


def test_sums_are_by_any_keys_in_their_order() -> None:
    history = Given(used(1), used(2, model="opus", cost=3), used(3, MONDAY + DAY, session_id="s2"))
    by_model = history.by("model")
    assert by_model["cost_usd"].to_dict() == {"sonnet": 2.0, "opus": 3.0}
    assert by_model["sessions"].to_dict() == {"sonnet": 2, "opus": 1}
    both = history.by("day", "model")
    assert both.index.names == ["day", "model"]
    assert both["responses"].tolist() == [1, 1, 1]
    assert history.by()["total_tokens"].tolist() == [330]


def test_a_day_is_one_of_the_time_zone_that_is_asked_for() -> None:
    history = Given(used(1, MONDAY - HOUR))
    assert str(history.by("day").index[0]) == "2026-01-04"
    assert str(history.by("day", tz="Asia/Tokyo").index[0]) == "2026-01-05"
    assert str(history.by("month", tz="Europe/Berlin").index[0]) == "2026-01"


def test_a_week_begins_on_monday() -> None:
    history = Given(used(1, MONDAY), used(2, MONDAY + 6 * DAY), used(3, MONDAY + 7 * DAY))
    assert history.by("week")["responses"].tolist() == [2, 1]


def test_what_is_not_known_is_not_nought() -> None:
    history = Given(used(1, cost=None, model="secret-model", tokens=Tokens(output=5)))
    sums = history.by("agent").iloc[0]
    assert sums["cost_usd"] is pd.NA
    assert sums["input_tokens"] is pd.NA
    assert sums["cache_hit_ratio"] is pd.NA
    assert (sums["output_tokens"], sums["unpriced"]) == (5, 1)


def test_what_is_not_counted_is_in_no_sum() -> None:
    assert Given(used(1), used(2, counted=False)).by()["cost_usd"].tolist() == [1.0]


def test_the_cache_hit_ratio_is_the_part_of_the_input_that_was_read() -> None:
    tokens = Tokens(input=10, cache_read=80, cache_write=10, output=1)
    assert Given(used(1, tokens=tokens)).by()["cache_hit_ratio"].tolist() == [0.8]


def test_an_unknown_key_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidOption, match="month"):
        Given(used(1)).by("moon")


@given(st.lists(st.integers(0, 40 * HOUR), max_size=30))
def test_a_block_begins_with_a_full_hour_and_holds_all_of_its_five_hours(offsets: list[int]) -> None:
    times = pd.Series(pd.to_datetime([MONDAY + offset for offset in offsets], unit="ms", utc=True)).astype(
        "datetime64[ms, UTC]"
    )
    found = views.blocks(times)
    for time, block in zip(times, found, strict=True):
        assert pd.Timedelta(0) <= time - block < pd.Timedelta(hours=6)
        assert (block.minute, block.second) == (0, 0)
    assert found.reindex(times.sort_values(kind="stable").index).is_monotonic_increasing


def test_a_block_ends_five_hours_after_its_first_response() -> None:
    history = Given(*(used(n, MONDAY + n * HOUR + HOUR // 2) for n in (0, 4, 5, 9, 20)))
    assert history.by("block")["responses"].tolist() == [2, 2, 1]


# Measures ------------------------------------------------------------------------------------------------------------


def worked() -> Given:
    turns = [
        Turn(agent="claude", session_id="s1", file="f", line=1, ts=MONDAY, turn_id="t1", number=1, ended=MONDAY + 1000),
        Turn(agent="claude", session_id="s1", file="f", line=2, ts=MONDAY + HOUR, turn_id="t2", number=2),
    ]
    calls = [
        called(1, "Edit", path="a.py", lines_added=3, lines_removed=1, turn_id="t1"),
        called(2, "Bash", "failed", turn_id="t2", ts=MONDAY + HOUR + 1),
        called(3, "Bash", turn_id="t2", ts=MONDAY + HOUR + 2),
        called(4, "Edit", path="b.py", lines_added=4, turn_id="t2", ts=MONDAY + HOUR + 3),
    ]
    return Given(*turns, *calls, used(1, turn_id="t1", ttft_ms=500), used(2, turn_id="t2", ttft_ms=1500, cost=3))


def test_the_measures_say_how_the_work_went() -> None:
    row = worked().measures().iloc[0]
    assert row["cost_per_turn_usd"] == 2.0
    assert row["cost_per_changed_line_usd"] == 0.5
    assert row["changed_lines"] == 8
    assert row["first_token_seconds"] == 1.0
    assert row["retries"] == 1
    assert row["failed_call_rate"] == 0.25
    assert row["one_shot_rate"] == 0.5
    assert row["permission_seconds"] is pd.NA or pd.isna(row["permission_seconds"])


def test_measures_are_given_for_each_agent_or_model() -> None:
    assert worked().measures("agent").loc["claude", "turns"] == 2
    assert worked().measures("model").loc["sonnet", "cost_usd"] == 4.0
    with pytest.raises(InvalidOption):
        worked().measures("moon")


def test_every_measure_is_described_and_every_description_is_of_one() -> None:
    assert list(worked().measures().columns) == list(views.MEASURES)


def test_there_are_measures_of_nothing() -> None:
    assert Given().measures().iloc[0]["turns"] == 0
    assert Given().by("day").empty
    assert Given().by_tool().empty


def test_tools_are_counted_with_their_failures() -> None:
    tools = worked().by_tool()
    assert tools.index[0] in ("file_edit", "terminal")
    assert tools.loc["terminal", "failure_rate"] == 0.5
    assert tools.loc["file_edit", "failures"] == 0


# Searching and labelling ---------------------------------------------------------------------------------------------


def test_a_text_is_found_in_what_was_said_and_in_what_tools_gave() -> None:
    call = called(5, "Bash", input='{"command":"make plums"}', output="no Plums here")
    history = Given(said("I want plums, please", 1), said("apples", 2), call)
    hits = history.search("plums")
    assert hits["where"].tolist() == ["terminal input", "terminal output", "user"]
    assert hits["snippet"].iloc[-1] == "I want plums, please"
    assert len(history.search("Plums", case=True)) == 1
    assert len(history.search("pl.ms", regex=True)) == 3
    assert history.search("pl.ms").empty
    assert history.search("plums", around=3)["snippet"].iloc[-1] == "… nt plums, p …"


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidOption, match="regular expression"):
        Given(said("x", 1)).search("(", regex=True)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODER_NB_DATABASE", str(tmp_path / "store.sqlite"))
    return tmp_path


def test_what_is_said_of_a_session_later_counts_and_the_rest_stays(data: Path) -> None:
    labels.label("s1", "good", rating=4)
    labels.label("s2", note="look again")
    labels.label("s1", rating=5)
    (data / "labels.jsonl").write_bytes((data / "labels.jsonl").read_bytes() + b'{"session_id":"s1","ra')
    found = Given().labels.set_index("session_id")
    assert found.loc["s1", ["label", "rating"]].tolist() == ["good", 5]
    assert found.loc["s2", "note"] == "look again"
    labels.label("s1", "")
    assert Given().labels.set_index("session_id").loc["s1", "label"] is pd.NA


def test_a_rating_is_from_one_to_five(data: Path) -> None:
    with pytest.raises(InvalidOption, match="1 to 5"):
        labels.label("s1", rating=6)
    assert Given().labels.empty


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_the_frames_go_to_files_that_pandas_reads_back(tmp_path: Path, format: Any) -> None:
    history = worked()
    files = history.export(tmp_path / "out", format=format)
    assert {file.stem for file in files} == set(frames.NAMES)
    assert not list((tmp_path / "out").glob(".*"))
    file = tmp_path / "out" / f"usage.{format}"
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda f: pd.read_json(f, lines=True)}[format]
    assert read(file)["cost_usd"].sum() == history.usage["cost_usd"].sum()


def test_secrets_in_texts_are_hidden_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "canary-of-the-environment")
    history = Given(said("canary-of-the-environment sk-ant-api03-canarycanarycanary", 1))
    history.export(tmp_path, format="csv")
    assert "canary" not in (tmp_path / "messages.csv").read_text()
    history.export(tmp_path, format="csv", redact=False)
    assert "canarycanary" in (tmp_path / "messages.csv").read_text()


def test_a_format_that_is_none_and_a_folder_that_is_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="parquet"):
        worked().export(tmp_path, format="xml")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="choose another place"):
        worked().export(tmp_path / "file")


def test_spans_have_the_names_and_the_numbers_of_the_conventions(tmp_path: Path) -> None:
    (file,) = worked().export(tmp_path, format="otel")
    written = msgspec.json.decode(file.read_bytes())
    found = written["resourceSpans"][0]["scopeSpans"][0]["spans"]
    names = [span["name"] for span in found]
    assert names.count("invoke_agent claude") == 2
    assert names.count("chat sonnet") == 2
    assert names.count("execute_tool Bash") == 2
    ids = {span["spanId"] for span in found}
    assert len(ids) == len(found)
    for span in found:
        assert len(span["traceId"]) == 32
        assert len(span["spanId"]) == 16
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        assert span.get("parentSpanId") in ids or span["name"].startswith("invoke_agent")
    failed = [span for span in found if span["status"]["code"] == 2]
    assert [span["name"] for span in failed] == ["execute_tool Bash"]


def test_there_are_spans_of_nothing() -> None:
    assert document(spans([], [], []), "1")["resourceSpans"][0]["scopeSpans"][0]["spans"] == []
