"""Files that go with a prompt are read where the caller is."""

from __future__ import annotations

from pathlib import Path

import pytest

from coder_nb.client.attaching import attachments
from coder_nb.core.entries import Attachment
from coder_nb.errors import InvalidOption


def test_text_is_text_whatever_it_is_called_and_pictures_are_pictures(tmp_path: Path) -> None:
    for name, data in (("a.py", b"x = 1\n"), ("b.PNG", b"\x89PNG"), ("c", "Grüße".encode()), ("d.pdf", b"%PDF-1")):
        (tmp_path / name).write_bytes(data)
    assert attachments([tmp_path / "a.py", str(tmp_path / "b.PNG"), tmp_path / "c", tmp_path / "d.pdf"]) == (
        Attachment(name="a.py", mime_type="text/plain", data=b"x = 1\n"),
        Attachment(name="b.PNG", mime_type="image/png", data=b"\x89PNG"),
        Attachment(name="c", mime_type="text/plain", data="Grüße".encode()),
        Attachment(name="d.pdf", mime_type="application/pdf", data=b"%PDF-1"),
    )


@pytest.mark.parametrize("data", [b"PAR1\xff\xfe", b"a\0b"])
def test_what_a_model_cannot_read_is_refused_with_the_cure(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "table.parquet").write_bytes(data)
    with pytest.raises(InvalidOption, match=r"table.parquet is neither text.*name it in the prompt"):
        attachments([tmp_path / "table.parquet"])


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    for wrong in (tmp_path / "missing", tmp_path):
        with pytest.raises(InvalidOption, match="cannot be read"):
            attachments([wrong])
