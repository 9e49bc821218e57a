import traceback

import pytest

import coder_nb as cnb
from coder_nb.errors import BadRequest


def test_a_notebook_shows_the_callers_lines_and_the_sentence_and_nothing_of_ours() -> None:
    with pytest.raises(BadRequest) as caught:
        cnb.session("/no such directory")
    shown = "\n".join(caught.value._render_traceback_())
    assert 'cnb.session("/no such directory")' in shown
    assert shown.endswith("BadPath: There is no directory /no such directory: check the path, or create it first.")
    assert "coder_nb/" not in shown.replace(__file__, "")
    assert "coder_nb/" in "".join(traceback.format_exception(caught.value)), "a debugger still has all of it"
