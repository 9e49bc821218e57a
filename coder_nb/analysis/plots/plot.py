"""What every plot has in common: paper white, ink black, colours that all can tell apart, and a hatch for each."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from io import BytesIO
from os import PathLike
from typing import TYPE_CHECKING, Any

from coder_nb.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, PAPER = "#1f2328", "#8c959f", "#ffffff"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#6a6a6a")
"""Of Okabe and Ito: told apart with any kind of colour vision."""
HATCHES = ("", "///", "...", "\\\\\\", "xx", "++", "oo", "--")
"""Told apart without any colour."""
MOST = 7
"""How many series a plot tells apart; the smallest others are one."""
OTHERS = "others"
WIDTH, DPI = 8.0, 100


class Plot:
    """A picture, the frame it was drawn from, and what it shows in a sentence."""

    def __init__(self, figure: Figure, frame: pd.DataFrame, text: str) -> None:
        self.figure, self.frame, self.text = figure, frame, text

    def save(self, path: str | PathLike[str], **options: Any) -> None:
        """Writes it to a file whose ending says the format: ``.png``, ``.svg``, ``.pdf``."""
        self.figure.savefig(path, **{"bbox_inches": "tight", "facecolor": PAPER} | options)

    def __repr__(self) -> str:
        return f"<Plot: {self.text}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        buffer = BytesIO()
        self.save(buffer, format="png", dpi=2 * DPI)  # type: ignore[arg-type]  # savefig takes a buffer as well
        data = b64encode(buffer.getvalue()).decode()
        width = round(self.figure.get_size_inches()[0] * DPI)
        picture = f'<img width="{width}" style="max-width: 100%" alt="{escape(self.text, quote=True)}"'
        return {"text/html": f'{picture} src="data:image/png;base64,{data}">', "text/plain": self.text}


def canvas(title: str, *, rows: int = 1, columns: int = 1, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """An empty figure and its axes, which no other plot of the notebook can change."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.of("A plot", "matplotlib", "plots") from error
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    axes = [axis for row in figure.subplots(rows, columns, squeeze=False) for axis in row]
    for axis in axes:
        axis.set_facecolor(PAPER)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(FAINT)
        axis.tick_params(colors=INK, labelsize=9)
        axis.set_axisbelow(True)
    return figure, axes


def whole_numbers() -> Any:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def nothing(axis: Axes) -> None:
    """Says that there is nothing to draw."""
    axis.text(0.5, 0.5, "Nothing yet.", ha="center", va="center", transform=axis.transAxes, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])


def style(number: int) -> dict[str, Any]:
    """How the n-th series is filled."""
    place = number % len(COLOURS)
    return {"color": COLOURS[place], "hatch": HATCHES[place], "edgecolor": PAPER, "linewidth": 0.5}


def legend(axis: Axes, **options: Any) -> None:
    """The names of the series, beside the picture."""
    axis.legend(
        **{"frameon": False, "fontsize": 9, "labelcolor": INK, "loc": "upper left", "bbox_to_anchor": (1, 1)} | options
    )


def legend_below(axis: Axes) -> None:
    """The same, where a picture needs its whole width."""
    legend(axis, loc="upper left", bbox_to_anchor=(0, -0.08), ncols=4)


def few(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with a column a series: the largest ones first, the smallest put together."""
    ordered = frame[frame.sum().sort_values(ascending=False, kind="stable").index]
    if len(ordered.columns) <= MOST + 1:
        return ordered
    kept = ordered.iloc[:, :MOST].copy()
    kept[OTHERS] = ordered.iloc[:, MOST:].sum(axis=1)
    return kept


def is_known(value: Any) -> bool:
    """Whether a frame tells a value."""
    import pandas as pd

    return not pd.isna(value)


def short(name: object, most: int = 28) -> str:
    """A name that fits beside a bar; of a path its end."""
    text = str(name)
    return text if len(text) <= most else f"…{text[-most + 1 :]}"


def counted(number: float) -> str:
    """A number as people say it: 1.2k, 3.4M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
