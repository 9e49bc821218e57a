"""The normal names of tools, so that the same deed has the same name whoever did it."""

from __future__ import annotations

from coder_nb.core.entries import ToolKind

NORMAL: dict[str, tuple[str, ...]] = {
    "terminal": (
        "bash",
        "shell",
        "run_shell_command",
        "exec_command",
        "execute",
        "terminal",
        "run_command",
        "local_shell",
    ),
    "file_read": ("read", "read_file", "view", "read_many_files", "cat"),
    "file_edit": ("edit", "str_replace", "replace", "multiedit", "apply_patch", "text_editor", "edit_file", "patch"),
    "file_write": ("write", "write_file", "create_file"),
    "file_search": ("glob", "find", "list", "ls", "list_directory", "list_dir"),
    "content_search": ("grep", "search_file_content", "rg", "grep_search"),
    "web_search": ("websearch", "web_search", "google_web_search"),
    "web_fetch": ("webfetch", "web_fetch", "fetch"),
    "sub_agent": ("task", "agent", "delegate", "subagent"),
}
_BY_ORIGINAL = {original: normal for normal, originals in NORMAL.items() for original in originals}
_BY_KIND: dict[str, str] = {"execute": "terminal", "read": "file_read", "edit": "file_edit", "fetch": "web_fetch"}
_KIND_OF: dict[str, ToolKind] = {
    "terminal": "execute",
    "file_read": "read",
    "file_edit": "edit",
    "file_write": "edit",
    "file_search": "search",
    "content_search": "search",
    "web_search": "fetch",
    "web_fetch": "fetch",
}


def normal_name(original: str, kind: str = "other") -> str:
    """The normal name of an agent's tool; one that has none keeps its own, or takes that of its kind if nameless."""
    bare = original.strip().lower().rsplit("__", 1)[-1]
    return _BY_ORIGINAL.get(bare) or original.strip() or _BY_KIND.get(kind, kind)


def kind_of(name: str) -> ToolKind:
    """The kind of deed that a normal name stands for."""
    return _KIND_OF.get(name, "other")


def first_word(command: str | list[str] | None) -> str | None:
    """The program that a command runs, without the variables before it."""
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command or "")
    words = [word for word in text[:400].split() if "=" not in word]
    return words[0].rpartition("/")[2] or None if words else None
