/** Comments on lines of a diff: the box in which one is written, where it stands until it is sent, and the tray. */

import type { Chat } from "../chat.ts";
import { type Comment, commentsPrompt } from "../comments.ts";
import { button, h, setText } from "../dom.ts";
import { agentLabel, icon } from "../icons.ts";
import { newId } from "../ids.ts";
import { plural } from "../text.ts";
import { doing, type ErrorLine } from "./pieces.ts";

export class CommentBox {
  private readonly chat: Chat;
  private readonly about: Omit<Comment, "text">;
  private readonly box: HTMLTextAreaElement;
  private readonly row: HTMLElement;

  constructor(chat: Chat, about: Omit<Comment, "text">) {
    this.chat = chat;
    this.about = about;
    this.box = h("textarea", { rows: 2, "aria-label": `Comment on ${about.path}, line ${about.line}`, placeholder: "Say something to the agent about this line" });
    const add = button("Add comment", { class: "primary", onclick: () => this.add() });
    const cancel = button("Cancel", { class: "quiet", onclick: () => this.row.remove() });
    this.row = h("tr", { class: "saying" }, h("td", { colspan: 4 }, this.box, h("div", { class: "actions" }, cancel, add)));
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.row.remove();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.add();
      else return;
      event.preventDefault();
    });
  }

  openBelow(row: Element): void {
    row.parentElement!.querySelector("tr.saying")?.remove();
    row.after(this.row);
    this.box.focus();
  }

  private add(): void {
    const text = this.box.value.trim();
    if (!text) return this.box.focus();
    const hunk = this.row.closest<HTMLElement>(".hunk");
    this.row.remove();
    this.chat.setComments([...this.chat.comments, { ...this.about, text }]);
    hunk?.focus();
  }
}

/** A comment below its line. */
export function commentRow(chat: Chat, comment: Comment): HTMLElement {
  return h("tr", { class: "said" }, h("td", { colspan: 4 }, h("div", { class: "said-line" }, h("span", {}, comment.text), remover(chat, comment))));
}

function remover(chat: Chat, comment: Comment): HTMLElement {
  const label = `Remove the comment on ${comment.path}, line ${comment.line}`;
  return h("button", { type: "button", class: "bare", "aria-label": label, title: "Remove", onclick: () => chat.setComments(chat.comments.filter((one) => one !== comment)) }, icon("cross"));
}

/** All comments that are not sent yet, what will be sent, and the button that sends it. */
export class Tray {
  readonly element: HTMLElement;
  private readonly chat: Chat;
  private readonly title = h("span", { class: "title" });
  private readonly list = h("ul", {});
  private readonly prompt = h("pre", { class: "exact", tabindex: 0 });

  constructor(chat: Chat, errors: ErrorLine) {
    this.chat = chat;
    const send = button("Send to the agent", { class: "primary" }, icon("send"));
    doing(send, errors, () => this.send());
    const shown = h("details", {}, h("summary", {}, icon("chevron"), h("span", {}, "What will be sent")), this.prompt);
    this.element = h("section", { class: "tray", "aria-label": "Comments", hidden: true }, h("div", { class: "tray-head" }, this.title, send), this.list, shown);
  }

  draw(): void {
    const { comments } = this.chat;
    this.element.hidden = comments.length === 0 || !this.chat.canAct;
    const agent = this.agent();
    setText(this.title, `${plural(comments.length, "comment")}${agent ? ` for ${agentLabel(agent)}` : ""}`);
    this.list.replaceChildren(...comments.map((one) => h("li", {}, h("span", { class: "mono muted" }, `${one.path}:${one.line}`), h("span", {}, one.text), remover(this.chat, one))));
    setText(this.prompt, commentsPrompt(comments));
  }

  private agent(): string | null {
    const agents = new Set(this.chat.comments.map((comment) => comment.agent).filter((agent) => agent != null));
    return agents.size === 1 ? [...agents][0]! : null;
  }

  private async send(): Promise<void> {
    const sent = this.chat.comments;
    await this.chat.prompt({ id: newId(), text: commentsPrompt(sent), agent: this.agent(), mode: "ask" });
    this.chat.setComments(this.chat.comments.filter((one) => !sent.includes(one)));
  }
}
