"""What may go with a prompt: plain files, not too many, not too much, and none from elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.entries import Attachment
from coder_nb.core.prompts import MOST_ATTACHED, check_attachments
from coder_nb.errors import InvalidOption, PromptTooLong


def picture(**fields: object) -> Attachment:
    return Attachment(**{"name": "a.png", "mime_type": "image/png", "data": b"12345"} | fields)  # type: ignore[arg-type]


def test_files_are_taken_up_to_the_limit_and_not_beyond() -> None:
    check_attachments([], limit=0)
    check_attachments([picture(), picture()], limit=10)
    with pytest.raises(PromptTooLong, match="10 bytes and the limit is 9.*name them in the prompt"):
        check_attachments([picture(), picture()], limit=9)
    check_attachments([picture()] * MOST_ATTACHED, limit=10**9)
    with pytest.raises(PromptTooLong, match="21 files"):
        check_attachments([picture()] * (MOST_ATTACHED + 1), limit=10**9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "a\0"},
        {"name": "x" * 1001},
        {"mime_type": "image"},
        {"mime_type": "image/png; a=b"},
        {"data": b""},
        {"data": None},
        {"data": None, "path": "../secret"},
        {"data": None, "path": "a/../../secret"},
        {"data": None, "path": "/etc/passwd"},
        {"data": None, "path": "C:\\secret"},
        {"data": None, "path": "a\\..\\..\\secret"},
        {"data": None, "path": ""},
        {"data": None, "path": "a\0b"},
    ],
)
def test_what_is_no_plain_file_of_the_directory_is_refused_with_the_cure(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match=r": (give|attach)"):
        check_attachments([picture(**wrong)], limit=10**9)


def test_a_file_of_the_directory_is_named_by_its_path() -> None:
    check_attachments([picture(data=None, path="notebooks/01 sales.ipynb")], limit=0)


@given(st.text())
def test_a_path_is_taken_only_where_it_stays_below(path: str) -> None:
    try:
        check_attachments([picture(data=None, path=path)], limit=0)
    except InvalidOption:
        return
    assert not path.startswith("/")
    assert ".." not in path.replace("\\", "/").split("/")
