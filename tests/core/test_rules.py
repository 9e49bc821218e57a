"""Rules of permissions: each covers what it says and nothing else, whatever an agent writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.core import codec, deeds, offering, rules, shell
from coder_nb.core.deeds import Deed
from coder_nb.core.entries import FileDiff, Permission, ToolKind
from coder_nb.core.rules import AnyCovers, Commands, Edits, Line, Place, Rule, Uses
from coder_nb.errors import InvalidOption

HERE = Place("/work/tree", lambda path: os.path.normpath(os.path.join("/work/tree", path)))


def rule(covers: AnyCovers, does: rules.Does = "allow", **fields: Any) -> Rule:
    return Rule(id=fields.pop("id", "r"), does=does, scope=fields.pop("scope", "session"), covers=covers, **fields)


def begins(text: str, does: rules.Does = "allow") -> Rule:
    return rule(offering.commands_of(text), does, id=text)


def runs(line: str) -> Deed:
    return Deed("execute", "bash", line)


def edits(*paths: str) -> Deed:
    return Deed("edit", "write", paths=paths)


def allows(known: Rule | list[Rule], deed: Deed, place: Place = HERE) -> bool:
    return bool(rules.allowed([known] if isinstance(known, Rule) else known, deed, place))


PYTEST = begins("pytest")
CODEX = {
    "call_id": "c",
    "turn_id": "t",
    "started_at_ms": 1,
    "command": ["/bin/bash", "-lc", "pytest -q"],
    "cwd": "/work/tree",
    "reason": "May I run the tests?",
    "proposed_execpolicy_amendment": ["pytest", "-q"],
    "available_decisions": ["approved", "abort"],
    "parsed_cmd": [{"type": "unknown", "cmd": "pytest -q"}],
}
"""What codex gives with a command that it asks for."""


@pytest.mark.parametrize(
    "line",
    [
        "pytest",
        "  pytest -q tests/test_a.py::test_b",
        "py'te'st -k 'a or b'",
        'pytest -k "a \\"b\\" c"',
        "pytest tests/*.py ~/x {a,b}",
        "pytest -q 2>&1",
        "pytest -q >/dev/null 2>&1",
        "pytest &>/dev/null",
        "pytest -q \\\n  tests",
        "pytest && pytest -x",
        "pytest; pytest",
        "pytest\npytest\n",
        "cd /work/tree && pytest -q",
        "cd /work/tree/sub; pytest",
        "cd '/work/tree/a b' && pytest",
    ],
)
def test_a_rule_about_a_command_allows_it_however_it_is_written(line: str) -> None:
    assert allows(PYTEST, runs(line))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "pytes",
        "pytest2",
        "pytest-watch",
        "./pytest",
        "/tmp/pytest",
        "'pytest -q'",
        "pytest; rm x",
        "pytest && rm x",
        "pytest || rm x",
        "pytest | tee x",
        "pytest |& sh",
        "pytest & rm x",
        "pytest\nrm x",
        "rm x; pytest",
        "pytest $(rm x)",
        "pytest `rm x`",
        'pytest "$(rm x)"',
        'pytest "`rm x`"',
        "pytest $HOME",
        "pytest ${x:=y}",
        "pytest $((1))",
        "pytest $'a'",
        "pytest <(rm x)",
        "pytest > x",
        "pytest >> x",
        "pytest >x",
        "pytest 2>x",
        "pytest &>x",
        "pytest &>/dev/null rm x",
        "pytest &>/dev/null 2>&1",
        "pytest >&x",
        "pytest >| x",
        "pytest < /etc/passwd",
        "pytest <<< x",
        "pytest << EOF\nEOF",
        "pytest >/dev/nullx",
        "pytest >/dev/null/../../x",
        "(pytest)",
        "{ pytest; }",
        "! pytest",
        "time pytest",
        "exec pytest",
        "env pytest",
        "sudo pytest",
        "PYTEST_ADDOPTS=-p pytest",
        "A=b pytest",
        "if pytest; then pytest; fi",
        "pytest() { rm x; }; pytest",
        "alias pytest=rm; pytest x",
        "pytest 'a",
        'pytest "a',
        "pytest \\",
        "pytest 'a\\''; rm x '",
        "pytest &! rm x",
        "pytest &| rm x",
        "pytest;; rm x",
        "pytest &&",
        "pytest |",
        "&& pytest",
        "pytest # rm",
        "pytest\x00",
        "pytest\rrm x",
        "pytest\u00a0-q",
        "pytest \u202e x",
        "py\\test",
        "p{y,}test",
        "pyt?st",
        "~pytest",
        "=pytest",
        "cd / && pytest",
        "cd sub && pytest",
        "cd && pytest",
        "cd - && pytest",
        "cd /work/tree/../other && pytest",
        "cd /work/treehouse && pytest",
        "cd $PWD && pytest",
        "cd -P /work/tree && pytest",
        "cd /work/tree",
        "x" * (shell.LONGEST + 1),
    ],
)
def test_and_nothing_else(line: str) -> None:
    assert not allows(PYTEST, runs(line))


@pytest.mark.parametrize(
    "line", ["printf -v 'a[$(rm x)]' x", "test -v 'a[`rm x`]'", "[ -v 'a[$(rm x)]' ]", "ls; read 'a[$(rm x)]'"]
)
def test_a_rule_about_a_command_of_the_shell_does_not_cover_what_it_computes(line: str) -> None:
    known = [begins(each) for each in ("printf", "test", "'['", "read", "ls")]
    assert allows(known, runs("printf '%s $1' 'a[0]' && test -f x; ls | read line"))
    assert not allows(known, runs(line))


def test_a_rule_holds_for_as_many_words_as_it_has() -> None:
    status = begins("git status")
    assert allows(status, runs("git status --short"))
    for line in ("git", "git push", "git -C / status", "git 'status x'", "git stat?s"):
        assert not allows(status, runs(line))


def test_each_command_of_a_chain_needs_a_rule_and_all_that_answer_are_named() -> None:
    both = [PYTEST, begins("git status"), begins("ls")]
    found = rules.allowed(both, runs("pytest -q && git status | pytest"), HERE)
    assert [one.id for one in found] == ["pytest", "git status"]
    assert not allows(both, runs("pytest && git push"))


def test_a_program_named_by_a_path_is_another_one_after_a_change_of_directory() -> None:
    script = begins("./run.sh")
    assert allows(script, runs("./run.sh -x"))
    assert not allows(script, runs("cd /work/tree/sub && ./run.sh"))
    assert not allows(script, Deed("execute", "bash", "./run.sh", paths=("sub",)))
    assert not allows(script, Deed("execute", "run", argv=("./run.sh",), paths=("sub",)))
    assert allows(script, Deed("execute", "bash", "./run.sh", paths=("/work/tree",)))


def test_a_command_without_a_shell_has_the_words_it_has() -> None:
    assert allows(PYTEST, Deed("execute", "run", argv=("pytest", "a; rm x", "$(rm x)")))
    assert not allows(PYTEST, Deed("execute", "run", argv=("pytest; rm x",)))


def test_a_command_that_would_run_elsewhere_is_not_covered() -> None:
    assert allows(PYTEST, Deed("execute", "bash", "pytest", paths=("/work/tree/sub",)))
    assert not allows(PYTEST, Deed("execute", "bash", "pytest", paths=("/etc",)))
    assert not allows(rule(Line("pytest")), Deed("execute", "bash", "pytest", paths=("..",)))


def test_a_line_is_allowed_character_by_character() -> None:
    line = rule(Line("make x > out && echo $HOME"))
    assert allows(line, runs("make x > out && echo $HOME"))
    for other in (
        "make x > out && echo $HOME ",
        "make x > out  && echo $HOME",
        "make x > out && echo $HOMES",
        "make x",
    ):
        assert not allows(line, runs(other))


@pytest.mark.parametrize(
    ("path", "covered", "others"),
    [
        (
            "src/",
            ["src/a.py", "src/b/c", "/work/tree/src/a", "x/../src/a"],
            ["src", "srcs/a", "a", "src/../a", "/src/a"],
        ),
        ("src/a.py", ["src/a.py", "./src/a.py"], ["src/a.pyc", "src/a.py/b", "src/b.py", "src"]),
        ("", ["a", "src/a", "/work/tree/b"], ["../a", "/etc/passwd", "/work/treehouse/a", "src/../../a", "a\0"]),
    ],
)
def test_a_rule_about_edits_covers_its_file_or_folder(path: str, covered: list[str], others: list[str]) -> None:
    known = rule(Edits(path))
    for one in covered:
        assert allows(known, edits(one)), one
    for other in others:
        assert not allows(known, edits(other)), other
        assert not allows(known, edits(covered[0], other)), "all files count"
    assert not allows(known, edits())
    assert not allows(known, Deed("delete", "rm", paths=(covered[0],)))
    assert not allows(known, runs(f"touch {covered[0]}"))


def test_it_never_covers_gits_own_files_and_secrets() -> None:
    for path in (".git/config", "src/.git/hooks/x", ".git", ".env", "src/.env", "id_rsa", "a/key.pem"):
        assert not allows(rule(Edits()), edits(path)), path


def test_links_are_followed_before_it_is_said_where_a_file_is(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "src").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (root / "src" / "out").symlink_to(tmp_path / "other")
    (root / "in").symlink_to(root / "src")
    (root / "src" / "secret").symlink_to(root / ".env")
    (root / "away").symlink_to(tmp_path / "other")
    place = Place(str(root.resolve()), lambda path: os.path.realpath(root / path))
    below = rule(Edits("src/"))
    assert allows(below, edits("in/a"), place)
    for path in ("src/out/a", "src/secret", "src/../a", "in/../a"):
        assert not allows(below, edits(path), place), path
    assert not allows(rule(Edits("away/")), edits("away/a"), place)
    assert not allows(PYTEST, runs(f"cd {root}/away && pytest"), place)
    assert not allows(PYTEST, runs(f"cd {root}/src/out/.. && pytest"), place)


def test_a_rule_about_a_tool_covers_no_commands_and_no_edits() -> None:
    known = rule(Uses("web_fetch"))
    assert allows(known, Deed("fetch", "web_fetch"))
    assert allows(rule(Uses("loud__shout")), Deed("other", "loud__shout"))
    assert not allows(known, Deed("fetch", "web_search"))
    for kind in ("execute", "edit", "switch_mode"):
        assert not allows(rule(Uses("x")), Deed(kind, "x"))


def permission(kind: ToolKind, given: Any, *, name: str = "bash", diffs: tuple[FileDiff, ...] = ()) -> Permission:
    return Permission(request_id="p", tool_kind=kind, input=given, original_name=name, diffs=diffs)


@pytest.mark.parametrize(
    ("given", "line", "argv"),
    [
        ({"command": "pytest -q", "description": "x", "timeout": 5}, "pytest -q", None),
        ({"cmd": "pytest"}, "pytest", None),
        ({"command": ["bash", "-lc", "pytest && ls"]}, "pytest && ls", None),
        ({"command": ["/bin/bash", "-c", "pytest"]}, "pytest", None),
        ({"command": ["./bash", "-c", "pytest"]}, None, ("./bash", "-c", "pytest")),
        ({"command": ["pytest", "-q"]}, None, ("pytest", "-q")),
        ({"command": ["bash", "-lc", "ls", "more"]}, None, ("bash", "-lc", "ls", "more")),
        (CODEX, "pytest -q", None),
        (CODEX | {"additional_permissions": {"network": True}}, None, None),
        ({"command": "pytest", "dangerouslyDisableSandbox": True}, None, None),
        ({"command": "pytest", "env": {"A": "b"}}, None, None),
        ({"command": "pytest", "cmd": "rm"}, None, None),
        ({"command": []}, None, None),
        ({"command": 7}, None, None),
        ("pytest", None, None),
        (None, None, None),
    ],
)
def test_which_command_a_permission_is_about(given: Any, line: str | None, argv: tuple[str, ...] | None) -> None:
    deed = deeds.deed_of(permission("execute", given))
    assert (deed.line, deed.argv) == (line, argv)


@pytest.mark.parametrize(
    "given",
    [
        {"command": "git push", "dangerouslyDisableSandbox": True},
        {"steps": [{"run": ["git", "push", "-f"]}, {"run": ["ls"]}]},
        {"steps": ["ls", {"then": "cd x; git push"}]},
    ],
)
def test_what_is_not_read_as_a_command_is_forbidden_where_it_may_be_one(given: Any) -> None:
    deed = deeds.deed_of(permission("execute", given))
    assert (deed.line, deed.argv) == (None, None)
    assert rules.denied([begins("git push", "deny")], deed, HERE) is not None
    assert rules.denied([begins("git pull", "deny")], deed, HERE) is None


def test_which_files_a_permission_is_about() -> None:
    diff = FileDiff(path="b.py", new="x")
    deed = deeds.deed_of(permission("edit", {"file_path": "a.py", "content": "/etc/passwd"}, diffs=(diff,)))
    assert deed.paths == ("b.py", "a.py")
    assert deeds.deed_of(permission("edit", {"changes": {"c.py": {}}})).paths == ("c.py",)
    assert deeds.deed_of(permission("read", {"file_path": "a.py"})).paths == ()


@pytest.mark.parametrize("kind", ["delete", "move"])
def test_a_file_that_may_not_be_edited_may_not_be_moved_or_deleted_either(kind: ToolKind) -> None:
    forbidden, allowed = rule(Edits("src/"), "deny"), rule(Edits("src/"))
    deed = deeds.deed_of(permission(kind, {"path": "src/a.py"}))
    assert rules.denied([forbidden], deed, HERE) is forbidden
    assert not allows(allowed, deed)


@pytest.mark.parametrize("kind", ["edit", "delete", "move"])
def test_an_edit_that_does_not_tell_its_files_may_be_one_of_those_that_are_forbidden(kind: ToolKind) -> None:
    deed = deeds.deed_of(permission(kind, {"patch": "*** Update File: src/a.py"}))
    assert deed.paths == ()
    for path in ("", "src/", "src/a.py"):
        assert rules.denied([rule(Edits(path), "deny")], deed, HERE) is not None
        assert rules.verdict("bypass", deed, [rule(Edits(path), "deny")], HERE).says == "deny"
    assert rules.denied([begins("git push", "deny"), rule(Uses("read"), "deny")], deed, HERE) is None


@pytest.mark.parametrize("path", ["src", "src/", ".", "", "/", "/work", "a/../src", "src\0"])
def test_what_happens_to_a_folder_happens_to_what_is_forbidden_in_it(path: str) -> None:
    for below in ("src/", "src/deep/", "src/a.py"):
        assert rules.denied([rule(Edits(below), "deny")], Deed("delete", "rm", paths=(path,)), HERE) is not None
    assert rules.denied([rule(Edits("sr"), "deny")], Deed("delete", "rm", paths=("src", "/work/treetop")), HERE) is None


def test_what_is_forbidden_is_so_where_its_folder_leads_elsewhere(tmp_path: Path) -> None:
    root, other = tmp_path / "tree", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    (root / "out").symlink_to(other)
    place = Place(str(root.resolve()), lambda path: os.path.realpath(root / path))
    for path in ("out/a", str(other / "a")):
        assert rules.denied([rule(Edits("out/"), "deny")], edits(path), place) is not None
    assert rules.denied([rule(Edits("out/"), "deny")], edits("in/a"), place) is None


def test_a_tool_of_another_server_is_no_shell_whatever_it_is_called() -> None:
    deed = deeds.deed_of(permission("execute", {"command": "pytest"}, name="evil__bash"))
    assert not allows([PYTEST, rule(Line("pytest"))], deed)
    assert allows(rule(Uses("evil__bash")), deed)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pytest -q tests", ["pytest …", "this command"]),
        ("python -m pytest -q", ["python -m pytest …", "this command"]),
        ("python3.11 setup.py build", ["python3.11 setup.py …", "this command"]),
        ("uv run pytest -q", ["uv run pytest …", "this command"]),
        ("uv run python -m pytest", ["uv run python -m pytest …", "this command"]),
        ("poetry run ruff check", ["poetry run ruff …", "this command"]),
        ("poetry run python -c x", ["this command"]),
        ("uv run --with x python a.py", ["this command"]),
        ("conda run -n x python a.py", ["this command"]),
        ("npx -y x", ["this command"]),
        ("git commit -m x", ["git commit …", "this command"]),
        ("cd /work/tree && npm test", ["npm test …", "this command"]),
        ("git -C x push", ["this command"]),
        ("python -c 'x'", ["this command"]),
        ("bash run.sh", ["this command"]),
        ("sudo pytest", ["this command"]),
        ("pytest && ruff check", ["this command"]),
        ("echo $HOME > x", ["this command"]),
        ("if true; then ls; fi", ["this command"]),
        ("x" * (shell.LONGEST + 1), []),
    ],
)
def test_what_is_offered_for_a_command_says_what_it_covers_and_covers_it(line: str, offered: list[str]) -> None:
    found = offering.offers(runs(line), HERE)
    assert [offer.label for offer, _ in found if offer.id == "commands"] + [
        offer.label for offer, _ in found if offer.id == "line"
    ] == offered
    for offer, covers in found:
        assert allows(rule(covers), runs(line)), offer


def test_what_is_offered_for_edits_and_tools() -> None:
    def ids(deed: Deed) -> list[tuple[str, str]]:
        found = offering.offers(deed, HERE)
        assert all(allows(rule(covers), deed) for _, covers in found)
        return [(offer.id, offer.text) for offer, _ in found]

    everything = ("edits", "edits of all files of the project")
    assert ids(edits("src/a.py")) == [
        ("file", "edits of src/a.py"),
        ("folder", "edits of all files below src/"),
        everything,
    ]
    assert ids(edits("a.py")) == [("file", "edits of a.py"), everything]
    assert ids(edits("a.py", "b.py")) == [everything]
    assert ids(edits("/etc/passwd")) == ids(edits(".env")) == ids(edits()) == []
    assert ids(Deed("fetch", "web_fetch")) == [("tool", "any use of the tool web_fetch")]
    assert ids(Deed("switch_mode", "exit_plan")) == ids(Deed("other", "")) == []


@pytest.mark.parametrize(
    "text",
    [
        *("bash", "sudo ls", "python", "python -X utf8", "env", "xargs", "uv run", "find .", "cd", "sed", "git"),
        *(
            "git --no-pager",
            "poetry",
            "poetry run",
            "poetry run bash",
            "uv run --with",
            "uv run python",
            "npx",
            "npx -y",
        ),
    ],
)
def test_a_rule_that_would_allow_everything_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="everything"):
        offering.check(begins(text))
    offering.check(begins(text, "deny"))


@pytest.mark.parametrize("text", ["", "pytest && ls", "pytest $X", "pytest > x", "pyt*", "'"])
def test_a_rule_is_made_of_a_plain_beginning(text: str) -> None:
    with pytest.raises(InvalidOption, match="beginning"):
        offering.commands_of(text)


@pytest.mark.parametrize("covers", [Edits("../x"), Edits("/etc/"), Edits("a\0"), Uses(" "), Line(""), Commands(())])
def test_a_rule_that_could_not_hold_is_refused(covers: AnyCovers) -> None:
    with pytest.raises(InvalidOption):
        offering.check(rule(covers))


PUSH = begins("git push", "deny")


@pytest.mark.parametrize(
    "line",
    [
        "git push",
        "git push --force",
        "ls; git push",
        "cd /tmp && git push",
        "sudo git push",
        "A=b git push",
        "xargs git push",
        "/usr/bin/git push",
        "bash -c 'git push'",
        "bash -lc 'ls && git push'",
        "if true; then git push; fi",
        "echo $(git push)",
        "(git push)",
        "git push > x",
        "git -C /tmp push",
        "git --no-pager -c a=b push",
        "git -C $X push",
        "git \\\n push",
        "sudo -u ann git push",
        "timeout 5 git push",
        "xargs -n 1 git push",
        "find . -exec git push ;",
        "eval 'git push'",
        "sudo sh -c 'ls;git push'",
        "uv run git push",
        "conda run -n x git -C y push",
    ],
)
def test_what_is_forbidden_is_forbidden_wherever_it_may_hide(line: str) -> None:
    assert rules.denied([PUSH], runs(line), HERE) is PUSH


@pytest.mark.parametrize(
    "line", ["git status", "git commit -m 'git push it'", "git -C x log push", "echo git push", "gitpush"]
)
def test_and_what_only_names_it_is_not(line: str) -> None:
    assert rules.denied([PUSH], runs(line), HERE) is None


def test_looking_for_it_takes_no_time_in_the_square_of_the_length() -> None:
    for line in ("git -x " * 30_000, "git -C $X " + "-a " * 50_000, "bash -c '" + "git -x " * 1_000 + "'"):
        assert rules.denied([PUSH], runs(line), HERE) is None


@pytest.mark.parametrize(
    ("mode", "deed", "known", "says", "by"),
    [
        ("ask", runs("pytest"), [], "ask", None),
        ("ask", runs("pytest"), [PYTEST], "allow", "rule"),
        ("ask", edits("a"), [], "ask", None),
        ("ask", edits("a"), [rule(Edits())], "allow", "rule"),
        ("plan", runs("pytest"), [PYTEST], "deny", "mode"),
        ("plan", edits("a"), [rule(Edits())], "deny", "mode"),
        ("bypass", runs("git push"), [], "allow", "mode"),
        ("bypass", runs("git push"), [PUSH], "deny", "rule"),
        ("ask", runs("git push"), [begins("git push"), PUSH], "deny", "rule"),
        ("accept_edits", edits("a"), [rule(Edits("a"), "deny")], "deny", "rule"),
        ("accept_edits", edits("b"), [rule(Edits("a"), "deny")], "allow", "mode"),
        ("accept_edits", edits("../elsewhere"), [], "ask", None),
        ("accept_edits", edits("a", ".git/config"), [], "ask", None),
        ("accept_edits", edits(".env"), [], "ask", None),
        ("accept_edits", edits(), [], "ask", None),
        ("accept_edits", edits("a")._replace(kind="delete"), [], "allow", "mode"),
        ("accept_edits", runs("pytest"), [], "ask", None),
        ("bypass", edits("../elsewhere"), [], "allow", "mode"),
        ("bypass", runs("sudo ls"), [begins("ls")], "deny", "administrator"),
    ],
)
def test_who_answers(mode: Any, deed: Deed, known: list[Rule], says: str, by: str | None) -> None:
    found = rules.verdict(mode, deed, known, HERE, administrator=offering.forbidding(["sudo"]))
    assert (found.says, found.by) == (says, by)
    assert bool(found.why) is (by is not None)


def test_where_a_rule_holds() -> None:
    def where(**fields: Any) -> list[bool]:
        known = rule(Edits(), **fields)
        places = (("s", "/p"), ("t", "/p"), ("u", "/q"))
        return [rules.holds_in(known, session_id=session, path=path) for session, path in places]

    assert where(scope="session", session_id="s") == [True, False, False]
    assert where(scope="project", path="/p") == [True, True, False]
    assert where(scope="everywhere") == [True, True, True]
    assert where(scope="everywhere", revoked_at=1) == [False, False, False]


def test_a_rule_survives_the_wire() -> None:
    for covers in (Commands(("pytest",)), Line("a\nb"), Edits("src/"), Uses("x__y")):
        known = rule(covers, by="me", path="/p")
        assert codec.decode(codec.encode(known), Rule) == known
        assert known.text.endswith("in this session")
    assert msgspec.structs.asdict(rule(Edits()))["does"] == "allow"


# Laws ----------------------------------------------------------------------------------------------------------------

PIECES = [
    *("pytest", "rm", "echo", "-q", "a b", "x", "'", '"', "\\", " ", "\n", ";", "&", "&&", "|", "||", "|&", "&|", "!"),
    *(
        "$(rm x)",
        "`rm x`",
        "$X",
        "${X}",
        ">",
        ">>",
        "<",
        "2>&1",
        ">/dev/null",
        "&>",
        "&>/dev/null ",
        ">&2",
        "(",
        ")",
        "{",
        "}",
        "#",
    ),
    *("*", "?", "~", "=", "A=b", "'rm x'", "\\;", "\\'", "'\\''", '"\\""', "\\\n", "if", "then", "fi", "time", "<<E"),
    "&>/dev/null ",
]
LINES = st.lists(st.sampled_from([*PIECES, "pytest ", " && ", "; "]), min_size=1, max_size=9).map("".join)
CHAINS = st.lists(st.sampled_from([*PIECES, " x ", "\nx ", "; echo ", " && x ", " | pytest "]), max_size=5)
EXAMPLES = 2000 if "CODER_NB_TEST_LONG" in os.environ else 60
SHELLS = [found for name in ("sh", "bash", "zsh", "fish") if (found := shutil.which(name))]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that note what they are given, and do nothing else."""
    folder = tmp_path_factory.mktemp("stubs")
    for name in ("pytest", "rm", "echo", "x", "-q", "a", "b"):
        stub = folder / name
        stub.write_text(f'#!/bin/sh\nprintf "{name}\\n" >>"$NOTED"\n')
        stub.chmod(0o755)
    return folder


@pytest.mark.parametrize("program", SHELLS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(line=CHAINS.map(lambda pieces: "pytest " + "".join(pieces)))
def test_a_real_shell_runs_nothing_but_what_was_read_and_writes_nothing(
    program: str, line: str, stubs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read = shell.read(line)
    if read is None or not allows([PYTEST, begins("x"), begins("echo")], runs(line)):
        return
    root = tmp_path_factory.mktemp("run")
    env = {"PATH": str(stubs), "NOTED": str(root / "noted"), "HOME": str(root)}
    (root / "work").mkdir()
    subprocess.run(
        [program, "-c", line], cwd=root / "work", env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    programs = {command[0].text for command in read}
    assert programs <= {"pytest", "x", "echo"}
    noted = root / "noted"
    assert set(noted.read_text().split() if noted.exists() else ()) <= programs, line
    assert list((root / "work").iterdir()) == [], line


@given(line=LINES, more=LINES)
def test_what_is_not_covered_is_not_covered_with_more_around_it(line: str, more: str) -> None:
    read = shell.read(line + "; rm " + more)
    if read is not None and any(command[0].text == "rm" for command in read):
        assert not allows(PYTEST, runs(line + "; rm " + more))


PARTS = st.lists(st.sampled_from(["src", "a", "..", ".", "", "b.py", "link", ".git", ".env", "/"]), max_size=7)


@given(parts=PARTS, folder=st.sampled_from(["src/", "", "src/a"]), absolute=st.booleans())
def test_no_path_that_leads_elsewhere_is_ever_covered(parts: list[str], folder: str, absolute: bool) -> None:
    path = ("/" if absolute else "") + "/".join(parts)
    if allows(rule(Edits(folder)), edits(path)):
        real = os.path.normpath(os.path.join(HERE.root, path))
        inside = os.path.normpath(os.path.join(HERE.root, folder))
        assert real == inside or real.startswith(inside + "/")
        assert ".git" not in real.split("/")
        assert not real.endswith(".env")
