"""Pure values and rules: no I/O, no clock, no loop, no third party but msgspec.

The glossary of the project; these words and no others, in code, in docs and on the screen.

session        a piece of work on one working directory; at most one worktree, one or more chats
chat           one conversation in a session: the unit of context; several agents may take turns in it
resource       the durable, portable part of a chat, ``coder-session/<chat id>``: session info and transcript
run state      the other part of a chat: ``run_status`` and ``inbox_cursor``
inbox          prompts accepted but not yet processed, in order; ids made by the client
agent          a named program or model that can take a turn (``opencode``, ``goose``, ``replay`` ...)
backend        the adapter through which a kind of agent is driven (``acp``, ``replay`` ...)
agent session  one agent's own context in one chat, key (chat, agent)
turn           one prompt, or one start of an agent by itself, and all that follows it, to exactly one end
entry          one item of a transcript
worktree       the session's git worktree, with its base commit
change         what a turn did to one file: pending, applied, rejected, reverted or superseded
checkpoint     the state of the worktree before a turn, restorable
runner         the process that holds the lease of a session and drives its agents; all others read
arena          one prompt to several agents, compared
"""
