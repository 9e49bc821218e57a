/** What takes something away, and therefore asks first: going back to a checkpoint, and closing a chat. */

import type { Chat } from "../chat.ts";
import { button, h, setText } from "../dom.ts";
import { icon } from "../icons.ts";
import { plural } from "../text.ts";
import { type Risk, WireError } from "../wire.ts";
import type { Context } from "./entry.ts";
import { doing, ErrorLine } from "./pieces.ts";

/** A card that asks; it takes the focus when it opens, and Escape puts it away. */
class Question {
  readonly element: HTMLElement;
  readonly errors = new ErrorLine();
  private readonly inside = h("div", { class: "section" });
  private readonly foot = h("div", { class: "card-foot" });
  private readonly title = h("span", { class: "label" });
  private readonly opener: HTMLElement;

  constructor(sign: string, opener: HTMLElement) {
    this.opener = opener;
    const head = h("div", { class: "card-head" }, icon(sign), this.title);
    this.element = h("div", { class: "card asks", role: "group", tabindex: -1, hidden: true }, head, this.inside, this.errors.element, this.foot);
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  ask(title: string, inside: (Node | string)[], ...buttons: HTMLButtonElement[]): void {
    const cancel = button("Cancel", { class: "quiet", onclick: () => this.close() });
    setText(this.title, title);
    this.element.setAttribute("aria-label", title);
    this.inside.replaceChildren(...inside);
    this.foot.replaceChildren(...buttons, cancel);
    this.element.hidden = false;
    this.element.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  close(): void {
    const within = this.element.contains(this.element.ownerDocument.activeElement) || this.element.matches(":focus-within");
    this.element.hidden = true;
    this.errors.show("");
    if (within) this.opener.focus({ preventScroll: true });
  }
}

/** The way back to before a turn, or before a restore: a button, and the card that asks what is to come back. */
export function goBack(context: Context, id: string, label: string, title: string): HTMLElement {
  const { chat } = context;
  const opener = button(label, { class: "link small" }, icon("back"));
  const question = new Question("back", opener);
  doing(opener, question.errors, async () => {
    question.element.hidden = false; // an error that comes now is shown in it
    const known = (await chat.checkpoints()).find((one) => one.id === id);
    const there = known !== undefined && known.files !== false;
    const files = h("input", { type: "checkbox", checked: there, disabled: !there });
    const talk = h("input", { type: "checkbox", checked: true });
    const go = button("Restore", { class: "primary" });
    const choose = () => (go.disabled = !files.checked && !talk.checked);
    for (const box of [files, talk]) box.addEventListener("change", choose);
    const where = chat.session?.worktree ? "in the agents' worktree; what you have applied stays in your checkout" : "in your checkout, where the agents work";
    doing(go, question.errors, async () => {
      await chat.restore(id, files.checked, talk.checked);
      question.close();
      context.announce("Restored.");
    });
    const choices = [
      h("label", {}, files, h("span", {}, there ? `Files, ${where}` : "Files: this state of them is no longer kept")),
      h("label", {}, talk, h("span", {}, "Conversation: what came after is hidden, and the agents forget it")),
    ];
    question.ask(title, [...choices, h("div", { class: "hint" }, "This can be undone.")], go);
  });
  return h("div", { class: "go-back" }, opener, question.element);
}

const NOTHING_LOST = "Its agents end. If it is the last chat of its session, the session's worktree goes with it. You can read it as before, and a new prompt goes on with it.";

/** The end of a chat: a button in its head, and the card that asks, which names what would be lost. */
export class Closing {
  readonly button = button("Close", { class: "quiet close", title: "Close this chat: its agents end" }, icon("cross"));
  private readonly chat: Chat;
  private readonly question = new Question("warning", this.button);
  private readonly announce: Context["announce"];

  constructor(chat: Chat, announce: Context["announce"]) {
    this.chat = chat;
    this.announce = announce;
    this.button.addEventListener("click", () => this.ask());
  }

  get element(): HTMLElement {
    return this.question.element;
  }

  update(): void {
    this.button.hidden = !this.chat.canAct || this.chat.running;
  }

  private ask(): void {
    this.question.ask("Close this chat?", [NOTHING_LOST], this.doing("Close chat", "primary", () => this.close(false)));
  }

  private doing(label: string, kind: string, work: () => Promise<void>): HTMLButtonElement {
    const made = button(label, { class: kind });
    doing(made, this.question.errors, work);
    return made;
  }

  private async close(force: boolean): Promise<void> {
    try {
      await this.chat.close(force);
    } catch (error) {
      if (!(error instanceof WireError) || error.code !== "at_risk" || !error.details) throw error;
      return this.warn(error.details as Risk);
    }
    this.question.close();
    this.announce("The chat is closed.");
  }

  /** Shows what closing would lose, with the ways to keep it. */
  private warn(risk: Risk): void {
    const name = h("input", { type: "text", "aria-label": "Name of the branch", value: `kept-${risk.session_id.slice(-8).toLowerCase()}`, spellcheck: "false" });
    const keep = async (kept: Risk) => (kept.at_risk ? this.warn(kept) : this.close(false));
    const lost = h("ul", { class: "places" }, ...losses(risk).map((one) => h("li", {}, one)));
    const branch = h("div", { class: "card-foot" }, name, this.doing("Keep as this branch", "", async () => keep(await this.chat.keepBranch(name.value.trim()))));
    this.question.ask(
      "This would be lost with the worktree",
      [lost, branch],
      this.doing("Keep in git's stash", "", async () => keep(await this.chat.stash())),
      this.doing("Close and lose it", "stop", () => this.close(true)),
    );
  }
}

const SHOWN = 5;

/** What is at risk, a line for each kind, with the first paths. */
function losses(risk: Risk): string[] {
  const paths = (found: readonly string[] | undefined, one: string, many: string) =>
    found?.length ? `${plural(found.length, one, many)}: ${found.slice(0, SHOWN).join(", ")}${found.length > SHOWN ? " …" : ""}` : "";
  const count = (found: number | undefined, one: string, many: string) => (found ? plural(found, one, many) : "");
  return [
    count(risk.pending, "pending change", "pending changes"),
    paths(risk.dirty, "changed file", "changed files"),
    paths(risk.staged, "staged file", "staged files"),
    paths(risk.untracked, "untracked file", "untracked files"),
    paths(risk.ignored, "copied file that differs", "copied files that differ"),
    paths(risk.submodules, "repository inside", "repositories inside"),
    count(risk.detached, "commit on no branch", "commits on no branch"),
    count(risk.unmerged, "unmerged commit", "unmerged commits"),
    count(risk.unpushed, "unpushed commit", "unpushed commits"),
    risk.error ?? "",
  ].filter(Boolean);
}
