"""One stream for all chats: whatever is said in whatever order, each hears its own and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.backends.opencode.events import Events
from coder_nb.errors import AgentDied

CHATS = ("ses_a", "ses_b", "ses_c")


class Ear:
    """A chat that writes down what it hears, and may break while it does."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self.breaks = breaks

    def heard(self, event: dict[str, Any]) -> None:
        self.told.append(event)
        if self.breaks:
            raise RuntimeError("this chat's own trouble")

    def missed(self) -> None:
        return None

    def ended(self, error: AgentDied) -> None:
        return None


def said(session: str, number: int, place: str) -> dict[str, Any]:
    """An event of a session, which is named in one of the places where the server names it."""
    properties = {"sessionID": session} if place == "here" else {place: {"sessionID": session}}
    return {"type": "message.updated", "properties": {"n": number, **properties}}


def born(child: str, parent: str) -> dict[str, Any]:
    return {"type": "session.created", "properties": {"sessionID": child, "info": {"id": child, "parentID": parent}}}


speakers = st.sampled_from([*CHATS, *(f"{chat}.child" for chat in CHATS), *(f"{chat}.child.child" for chat in CHATS)])
strangers = st.sampled_from(["ses_x", "ses_x.child", ""])


@settings(max_examples=60, deadline=None)
@given(
    spoken=st.lists(st.tuples(speakers | strangers, st.sampled_from(["here", "info", "part"])), max_size=60),
    breaks=st.booleans(),
)
def test_each_chat_hears_its_own_and_its_sub_agents_in_order(spoken: list[tuple[str, str]], breaks: bool) -> None:
    events = Events(None)  # type: ignore[arg-type]  # nothing is read here
    ears = {chat: Ear(breaks=breaks and chat == CHATS[0]) for chat in CHATS}
    for chat, ear in ears.items():
        events.listen(chat, ear)
    for chat in (*CHATS, "ses_x"):
        for child in (f"{chat}.child", f"{chat}.child.child"):
            events._take({"payload": born(child, child.removesuffix(".child"))}, False)
    told = [said(session, number, place) for number, (session, place) in enumerate(spoken)]
    for event in told:
        events._take({"payload": event}, False)
    for chat, ear in ears.items():
        mine = [event for event, (session, _) in zip(told, spoken, strict=True) if session.split(".")[0] == chat]
        assert [event for event in ear.told if event["type"] == "message.updated"] == mine
    events.forget(ears["ses_b"])
    events._take({"payload": said("ses_b", 99, "here")}, False)
    assert not any(event["properties"].get("n") == 99 for event in ears["ses_b"].told)
