"""What usage costs, for all rows of a frame at once: pure functions from frame to frame.

Reported comes before computed, and computed before unknown. A price depends on the model, sometimes on the hour, and
for some models on how much a request holds: then the whole request has the other rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from coder_nb.errors import InvalidOption
from coder_nb.prices import SEARCH, Given, Price, changes, factor, price_of

if TYPE_CHECKING:
    import pandas as pd

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
MODES = ("speed", "service_tier", "geo")
NEEDED = ("model", "provider", "time", *TOKENS, *MODES, "web_searches", "reported_cost_usd")
"""All columns that a cost depends on."""
_HOUR = 3_600_000


class Costs(NamedTuple):
    """The three columns that tell what a row costs."""

    usd: Any
    source: Any
    price: Any


def reprice(
    usage: pd.DataFrame, *, prices: Given | None = None, reported: bool = True, model: str | None = None
) -> pd.DataFrame:
    """The usage again, with what it costs by the price list of today, or by `prices` of your own.

    What an agent reported stays, unless `reported` is False or a `model` is named, as whose all of it is then priced.
    `prices` are dollars for a million tokens: ``{"my-model": {"input": 3, "output": 15, "cache_read": 0.3}}``.
    Raises `InvalidOption` where a column that it needs is not there.
    """
    for name in ("model", *TOKENS):
        if name not in usage:
            raise InvalidOption(f"The usage has no column {name!r}, which its cost depends on: leave it in `columns=`.")
    arrays = {str(name): usage[name].array for name in usage}
    found = costs(arrays, prices=prices, reported=reported and model is None, model=model)
    return usage.assign(cost_usd=found.usd, cost_source=found.source, price=found.price)


def as_if(usage: pd.DataFrame, model: str, *, prices: Given | None = None) -> pd.DataFrame:
    """The usage, with what it would have cost had another model used the same tokens; the column `model` stays.

    Raises `InvalidOption` where the model has no price.
    """
    if price_of(model, given=prices) is None:
        raise InvalidOption(f"There is no price of {model!r}: name it as the list does, or give it by `prices=`.")
    return reprice(usage, prices=prices, model=model)


def costs(
    arrays: Mapping[str, Any], *, prices: Given | None = None, reported: bool = True, model: str | None = None
) -> Costs:
    """The costs of rows whose columns are these arrays."""
    import numpy as np
    import pandas as pd

    size = len(arrays["model"])
    tokens = {name: pd.Series(arrays[name]).to_numpy("float64", na_value=np.nan) for name in TOKENS}
    usd, price, names = np.full(size, np.nan), np.full(size, -1, dtype=np.int64), dict[str, int]()
    known = ~(np.isnan(tokens["input_tokens"]) | np.isnan(tokens["output_tokens"]))
    told = _told(arrays, size)
    wanted = known & (np.isnan(told) if reported else np.ones(size, dtype=bool))
    filled = {name: np.nan_to_num(values) for name, values in tokens.items()}
    for rows, of in _groups(arrays, wanted, prices, model):
        found, times = of
        if found is None or times is None:
            continue
        part = {name: values[rows] for name, values in filled.items()}
        whole = part["input_tokens"] + part["cache_read_tokens"] + part["cache_write_tokens"]
        tier = np.searchsorted(np.asarray(found.above, dtype="float64"), whole, side="left")
        usd[rows] = np.round(_nano(found, tier, part)) * times / 1e9
        for number in np.unique(tier):
            above = f" above {found.above[number - 1]}" if number else ""
            price[rows[tier == number]] = names.setdefault(f"{found.name}{above}", len(names))
    computed = ~np.isnan(usd)
    usd[computed] += _searches(arrays, size)[computed] * SEARCH / 1e9
    if reported:
        usd = np.where(np.isnan(told), usd, told)
    return Costs(
        pd.Series(usd).astype("Float64").array,
        _category(np.where(computed, 1, np.where(np.isnan(usd), 2, 0)), ["reported", "computed", "unknown"]),
        _category(price, list(names)),
    )


def _nano(found: Price, tier: Any, part: Mapping[str, Any]) -> Any:
    import numpy as np

    rates = {kind: np.asarray([getattr(one, kind) for one in found.rates])[tier] for kind in found.rates[0]._fields}
    hour = part["cache_write_1h_tokens"]
    return (
        rates["input"] * part["input_tokens"]
        + rates["output"] * part["output_tokens"]
        + rates["cache_read"] * part["cache_read_tokens"]
        + rates["cache_write"] * (part["cache_write_tokens"] - hour)
        + rates["cache_write_1h"] * hour
    )


def _groups(arrays: Mapping[str, Any], wanted: Any, prices: Given | None, model: str | None) -> Any:
    """Rows that have one price and one mode, with both."""
    import numpy as np
    import pandas as pd

    rows = np.flatnonzero(wanted)
    columns = [pd.Categorical(arrays[name])[rows] for name in ("model", "provider", *MODES) if name in arrays]
    names = [name for name in ("model", "provider", *MODES) if name in arrays]
    code = np.zeros(len(rows), dtype=np.int64)
    for column in columns:
        code = code * (len(column.categories) + 1) + column.codes + 1
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    hours = _hours(arrays, rows)
    for number, place in enumerate(first):
        values = (column[place] for column in columns)
        said = {name: value if isinstance(value, str) else None for name, value in zip(names, values, strict=True)}
        full = model or _full(said["model"], said.get("provider"))
        here = rows[inverse == number]
        if full is None:
            continue
        times = factor(full, speed=said.get("speed"), tier=said.get("service_tier"), geo=said.get("geo"))
        if not changes(full):
            yield here, (price_of(full, given=prices), times)
            continue
        for hour in np.unique(hours[inverse == number]):
            ts = None if hour < 0 else int(hour) * _HOUR
            yield here[hours[inverse == number] == hour], (price_of(full, ts=ts, given=prices), times)


def _full(model: str | None, provider: str | None) -> str | None:
    return model if model is None or provider is None else f"{provider}/{model}"


def _hours(arrays: Mapping[str, Any], rows: Any) -> Any:
    """The hour of each row, -1 where it is not known."""
    import numpy as np
    import pandas as pd

    if "time" not in arrays:
        return np.full(len(rows), -1)
    times = pd.DatetimeIndex(pd.Series(arrays["time"])).as_unit("ms")[rows]
    return np.where(times.isna(), -1, times.asi8 // _HOUR)


def _told(arrays: Mapping[str, Any], size: int) -> Any:
    import numpy as np
    import pandas as pd

    if "reported_cost_usd" not in arrays:
        return np.full(size, np.nan)
    return pd.Series(arrays["reported_cost_usd"]).to_numpy("float64", na_value=np.nan)


def _searches(arrays: Mapping[str, Any], size: int) -> Any:
    import numpy as np
    import pandas as pd

    if "web_searches" not in arrays:
        return np.zeros(size)
    return pd.Series(arrays["web_searches"]).to_numpy("float64", na_value=0.0)


def _category(codes: Any, names: list[str]) -> Any:
    """Codes as a category, whose values stand in the order in which they first appear; -1 is NA."""
    import numpy as np
    import pandas as pd

    found, first = pd.factorize(np.where(codes < 0, np.nan, codes))
    return pd.Categorical.from_codes(found, categories=pd.Index([names[int(code)] for code in first], dtype="str"))
