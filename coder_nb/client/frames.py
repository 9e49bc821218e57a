"""The frames of a history as files, for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from coder_nb import __version__
from coder_nb.core.redaction import Redactor, secrets_of
from coder_nb.errors import BadRequest, InvalidOption, MissingExtra

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.views import Views

FrameFormat = Literal["parquet", "csv", "jsonl", "otel"]
NAMES = ("usage", "sessions", "turns", "messages", "tool_calls", "file_changes", "permissions")
TEXTS = ("text", "input", "output", "prompt", "title", "message")
"""Columns that hold what was said."""


def export(history: Views, folder: str | PathLike[str], *, format: FrameFormat, redact: bool) -> list[Path]:
    """Writes each frame into a folder, whole or not at all; returns the files."""
    if format not in ("parquet", "csv", "jsonl", "otel"):
        raise InvalidOption(f"format={format!r} is none: there are parquet, csv, jsonl and otel.")
    target = Path(fspath(folder)).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{target} is no folder to write to ({error.strerror}): choose another place.") from error
    if format == "otel":
        return [_write(target / "spans.json", lambda file: file.write_bytes(_spans(history)))]
    redactor = Redactor(secrets_of(os.environ)) if redact else None
    return [_frame(redacted(getattr(history, name), redactor), target / f"{name}.{format}", format) for name in NAMES]


def redacted(frame: pd.DataFrame, redactor: Redactor | None) -> pd.DataFrame:
    """A frame whose texts have no secrets any more."""
    names = [name for name in TEXTS if name in frame and frame[name].notna().any()]
    if redactor is None or not names:
        return frame
    return frame.assign(**{name: frame[name].map(redactor.text, na_action="ignore").astype("string") for name in names})


def _frame(frame: pd.DataFrame, file: Path, format: str) -> Path:
    if format == "csv":
        return _write(file, lambda part: frame.to_csv(part, index=False))
    if format == "jsonl":
        return _write(
            file, lambda part: frame.to_json(part, orient="records", lines=True, date_format="iso", force_ascii=False)
        )
    try:
        return _write(file, lambda part: frame.to_parquet(part, index=False))
    except ImportError as error:
        raise MissingExtra.of("Parquet", "pyarrow", "analysis") from error


def _spans(history: Views) -> bytes:
    from coder_nb.analysis.otel import document, spans

    rows = [getattr(history, name).itertuples(index=False) for name in ("turns", "usage", "tool_calls")]
    return msgspec.json.encode(document(spans(*rows), __version__))


def _write(file: Path, write: Callable[[Path], Any]) -> Path:
    part = file.with_name(f".{file.name}.part")
    try:
        write(part)
        part.replace(file)
    except OSError as error:
        raise BadRequest(f"{file} cannot be written ({error.strerror}): choose another place.") from error
    finally:
        part.unlink(missing_ok=True)
    return file
