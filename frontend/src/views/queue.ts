/** The prompts that wait, in order, and the way on where they are held. */

import type { Chat } from "../chat.ts";
import { button, h } from "../dom.ts";
import { agentIcon, agentLabel, icon } from "../icons.ts";
import { plural } from "../text.ts";
import { doing, type ErrorLine } from "./pieces.ts";

export class QueueList {
  readonly element: HTMLElement = h("div", { class: "queue", hidden: true });
  private readonly chat: Chat;
  private readonly errors: ErrorLine;
  private shown = "";

  constructor(chat: Chat, errors: ErrorLine) {
    this.chat = chat;
    this.errors = errors;
  }

  update(): void {
    const { chat } = this;
    const queued = chat.info?.queued ?? [];
    const held = chat.info?.held === true;
    const now = JSON.stringify([queued.map((prompt) => prompt.id), held, chat.canAct]);
    if (now === this.shown) return;
    this.shown = now;
    this.element.hidden = queued.length === 0;
    const head = h("div", { class: "queue-head" }, icon("clock"), h("span", {}, held ? `${plural(queued.length, "prompt")} held after the stop` : `${plural(queued.length, "prompt")} waiting`));
    if (held && chat.canAct) {
      const go = button("Continue", { class: "primary" });
      doing(go, this.errors, () => chat.goOn());
      head.append(go);
    }
    const items = queued.map((prompt) => {
      const item = h("li", {}, ...(prompt.agent ? [agentIcon(prompt.agent)] : []), h("span", { class: "queued-text", title: prompt.text }, prompt.text));
      if (chat.canAct) {
        const remove = h("button", { type: "button", class: "bare", "aria-label": `Remove this prompt${prompt.agent ? ` to ${agentLabel(prompt.agent)}` : ""} from the queue`, title: "Remove from the queue" }, icon("cross"));
        doing(remove, this.errors, () => chat.withdraw(prompt.id));
        item.append(remove);
      }
      return item;
    });
    this.element.replaceChildren(head, h("ol", { "aria-label": "Waiting prompts" }, ...items));
  }
}
