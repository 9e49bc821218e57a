"""What the routes about prompts do: one call of the runtime each."""

from __future__ import annotations

from msgspec import Struct

from coder_nb.core.agents import AgentCommands
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.verbs import Verbs
from coder_nb.errors import BadRequest
from coder_nb.ids import is_id
from jupyter_extension.rest.values import Done


class Steer(Struct, frozen=True, kw_only=True):
    """Another message of the user, for the turn that runs."""

    text: str


async def prompt(runtime: Verbs, chat_id: str, body: Prompt) -> ChatInfo:
    if not is_id(body.id):
        raise BadRequest("The prompt's id is no id: make one with `coder_nb.ids.new_id()`.")
    return await runtime.prompt(chat_id, body)


async def withdraw(runtime: Verbs, chat_id: str, prompt_id: str) -> Done:
    return Done(done=await runtime.withdraw(chat_id, prompt_id))


async def stop(runtime: Verbs, chat_id: str) -> Done:
    return Done(done=await runtime.stop(chat_id))


async def steer(runtime: Verbs, chat_id: str, body: Steer) -> Done:
    return Done(done=await runtime.steer(chat_id, body.text))


async def commands(runtime: Verbs, chat_id: str) -> tuple[AgentCommands, ...]:
    return await runtime.commands(chat_id)


async def go_on(runtime: Verbs, chat_id: str) -> ChatInfo:
    return await runtime.go_on(chat_id)
