"""Plots: what is drawn is what the frame says, and everybody can read it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from support.rows import DAY, HOUR, MONDAY, Given, called, used

from coder_nb.analysis import plots
from coder_nb.analysis.plots import plot
from coder_nb.core.entries import Tokens
from coder_nb.core.rows import Session, Turn
from coder_nb.errors import InvalidOption, NotFound

ALL: tuple[Callable[..., plots.Plot], ...] = (
    plots.cost,
    plots.tokens,
    plots.tools,
    plots.agents,
    plots.context,
    plots.timeline,
)
each = pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)


def history() -> Given:
    turns = [
        Turn(
            agent=agent,
            session_id="s1",
            file="f",
            line=number,
            ts=MONDAY + number * HOUR,
            turn_id=f"t{number}",
            number=number,
            ended=MONDAY + number * HOUR + 60_000,
        )
        for number, agent in enumerate(("claude", "qwen"))
    ]
    tokens = [Tokens(input=100, cache_read=size, cache_write=50, output=20) for size in (1000, 9000, 100)]
    return Given(
        Session(agent="claude", session_id="s1", file="f", line=1, ts=MONDAY, ended=MONDAY + DAY),
        *turns,
        used(1, tokens=tokens[0], turn_id="t0", duration_ms=4000, ttft_ms=500),
        used(2, MONDAY + HOUR, tokens=tokens[1], turn_id="t1", agent="qwen", model="qwen3", cost=3),
        used(3, MONDAY + 2 * DAY, tokens=tokens[2], cost=None, model="of-nobody"),
        called(1, "Bash", "failed", turn_id="t0", duration_ms=900),
        called(2, "Edit", path="a.py", lines_added=3, lines_removed=1, turn_id="t1", agent="qwen"),
    )


def texts(drawn: plots.Plot) -> str:
    FigureCanvasAgg(drawn.figure).draw()
    found = [text.get_text() for text in drawn.figure.findobj(lambda one: hasattr(one, "get_text"))]
    return "\n".join(found)


@each
def test_a_plot_shows_itself_as_a_picture_with_words_for_those_who_do_not_see_it(draw: Any) -> None:
    bundle = draw(history())._repr_mimebundle_()
    assert 'src="data:image/png;base64,' in bundle["text/html"]
    assert f'alt="{bundle["text/plain"]}"' in bundle["text/html"]
    assert "script" not in bundle["text/html"][:500]


@each
def test_a_plot_of_nothing_says_so(draw: Any) -> None:
    drawn = draw(Given())
    assert "Nothing yet." in texts(drawn) or "Not told." in texts(drawn)
    assert drawn.frame.empty


@each
def test_a_plot_is_saved_in_the_format_of_its_ending(draw: Any, tmp_path: Path) -> None:
    draw(history()).save(tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    draw(history()).save(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_cost_is_drawn_from_the_frame_it_gives_and_what_is_not_known_is_said() -> None:
    drawn = plots.cost(history())
    assert drawn.frame.sum().to_dict() == {"qwen3": 3.0, "sonnet": 1.0, "of-nobody": 0.0}
    assert len(drawn.frame) == 3, "a day on which nothing was used is there as well"
    heights = sum(bar.get_height() for bar in drawn.figure.axes[0].patches)
    assert heights == pytest.approx(4.0)
    assert "The cost of 1 responses is not known" in texts(drawn)


def test_cost_is_by_whatever_is_asked_for() -> None:
    assert plots.cost(history(), by="month", of="agent").frame.loc["2026-01"].to_dict() == {"qwen": 3.0, "claude": 1.0}
    with pytest.raises(InvalidOption):
        plots.cost(history(), by="moon")


def test_more_series_than_can_be_told_apart_are_put_together() -> None:
    many = Given(*(used(number, model=f"model-{number}", cost=number) for number in range(1, 15)))
    frame = plots.cost(many).frame
    assert len(frame.columns) == plot.MOST + 1
    assert frame.columns[-1] == plot.OTHERS
    assert frame.sum().sum() == sum(range(1, 15))


def test_the_tools_that_failed_are_said_in_numbers() -> None:
    assert "100% failed" in texts(plots.tools(history()))


def test_agents_stand_side_by_side_with_what_each_costs() -> None:
    drawn = plots.agents(history())
    assert set(drawn.frame.index) == {"claude", "qwen"}
    assert "$3.000" in texts(drawn)
    assert "not told" in texts(drawn)


def test_a_context_that_falls_is_marked() -> None:
    assert "summed up, or cleared" in texts(plots.context(history(), "s1"))


@pytest.mark.parametrize("draw", [plots.context, plots.timeline])
def test_a_session_that_is_not_there_is_refused(draw: Any) -> None:
    with pytest.raises(NotFound, match="session_id"):
        draw(history(), "nobody")


def test_every_colour_has_a_hatch_of_its_own_and_none_is_as_dark_or_light_as_its_neighbour() -> None:
    assert len(set(plot.HATCHES)) == len(plot.COLOURS) == len(plot.HATCHES)
    assert contrast(plot.INK, plot.PAPER) > 7
    for colour in plot.COLOURS:
        assert contrast(colour, plot.PAPER) > 1.6


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_same_is_drawn_again_and_no_plot_touches_another() -> None:
    def picture() -> bytes:
        buffer = BytesIO()
        plots.cost(history()).save(buffer, format="png")  # type: ignore[arg-type]
        return buffer.getvalue()

    first = picture()
    plots.tokens(history())
    assert picture() == first


@pytest.mark.parametrize(
    ("number", "said"), [(0.0, "0"), (950, "950"), (1234, "1.23k"), (2_500_000, "2.5M"), (3e9, "3G")]
)
def test_numbers_are_said_as_people_say_them(number: float, said: str) -> None:
    assert plot.counted(number) == said
