/** One click for a turn that failed or was interrupted: its prompt is sent once more, as it was. */

import type { Chat } from "../chat.ts";
import { button, h } from "../dom.ts";
import { icon } from "../icons.ts";
import { newId } from "../ids.ts";
import type { PermissionMode, Prompt, TurnEnded } from "../wire.ts";
import type { Context } from "./entry.ts";
import { doing, ErrorLine } from "./pieces.ts";

/** The button for a turn's end; null where it completed, was the agent's own, or is not the chat's last any more. */
export function tryAgain(context: Context, turnId: string, end: TurnEnded["end"]): HTMLElement | null {
  const { chat } = context;
  if (end !== "failed" && end !== "interrupted") return null;
  if (!chat.canAct || chat.running) return null;
  const prompt = promptOf(chat, turnId);
  if (prompt === null) return null;
  const again = button("Try again", { class: "link small" }, icon("back"));
  const errors = new ErrorLine();
  doing(again, errors, async () => {
    const held = chat.info?.held ?? false;
    await chat.prompt(prompt); // the same id each time: pressed again after an error, it is the same prompt
    if (held) await chat.goOn();
    context.announce("The prompt was sent again.");
  });
  return h("div", { class: "try-again" }, again, errors.element);
}

/** What the chat's last turn was asked, if it is this one. */
function promptOf(chat: Chat, turnId: string): Prompt | null {
  let prompt: Prompt | null = null;
  let how: Partial<Prompt> = {};
  for (const { turn_id, body } of chat.transcript) {
    if (body.kind === "turn_started") {
      prompt = null;
      how = { agent: body.agent, model: body.model ?? null, mode: (body.mode ?? null) as PermissionMode | null };
      if (body.effort) how.effort = body.effort;
    } else if (body.kind === "user_message" && body.prompt_id && turn_id === turnId)
      prompt = { id: newId(), text: body.text, attachments: body.attachments ?? [], ...how };
  }
  return prompt;
}
