/** Rules by which permissions are answered: how one is chosen, and the list of those in force, each with its end. */

import type { Chat } from "../chat.ts";
import { button, h, plainText, quotingText } from "../dom.ts";
import { icon } from "../icons.ts";
import type { Rule, Scope } from "../wire.ts";
import { doing, ErrorLine } from "./pieces.ts";

export const SCOPES: Readonly<Record<Scope, string>> = { session: "in this session", project: "in this project", everywhere: "everywhere" };

let groups = 0;

/** One of a few; the first is chosen. */
export function choices(legend: string, options: readonly (readonly [string, string])[]) {
  const name = `choice-${++groups}`;
  const inputs = options.map(([value], index) => h("input", { type: "radio", name, value, checked: index === 0 }));
  const labels = options.map(([, text], index) => h("label", {}, inputs[index], h("span", {}, quotingText(text))));
  const element = h("fieldset", { class: "rule-choices" }, h("legend", {}, legend), ...labels);
  return { element, chosen: () => inputs.find((input) => input.checked)?.value ?? options[0]![0] };
}

/** What a rule covers, in the words that the card of a permission has for it. */
function covers({ covers: about }: Rule): string {
  switch (about.of) {
    case "commands":
      return `commands that begin with \`${about.words.map(quoted).join(" ")}\``;
    case "line":
      return `exactly \`${about.line}\``;
    case "edits":
      return `edits of ${!about.path ? "all files of the project" : about.path.endsWith("/") ? `all files below ${about.path}` : about.path}`;
    case "uses":
      return `any use of the tool ${about.tool}`;
  }
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** What agents may do here without asking: a button, and the list that it opens. */
export class RuleList {
  readonly button: HTMLButtonElement;
  readonly element: HTMLElement;
  private readonly chat: Chat;
  private readonly announce: (text: string) => void;
  private readonly list = h("ul", { class: "rules" });
  private readonly errors = new ErrorLine();

  constructor(chat: Chat, announce: (text: string) => void) {
    this.chat = chat;
    this.announce = announce;
    this.button = button("Rules", { class: "link small", "aria-expanded": "false", title: "What agents may do here without asking" }, icon("lock"));
    doing(this.button, this.errors, () => this.toggle());
    this.element = h("section", { class: "rules-panel", "aria-label": "Rules", hidden: true }, this.list, this.errors.element);
  }

  update(): void {
    this.button.hidden = !this.chat.live;
    if (this.button.hidden) this.show(false);
  }

  private async toggle(): Promise<void> {
    this.show(this.element.hidden);
    if (!this.element.hidden) await this.read();
  }

  private show(open: boolean): void {
    this.element.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }

  private async read(): Promise<void> {
    const rules = await this.chat.rules();
    const none = h("li", { class: "muted" }, "There are no rules here: agents ask for everything that the mode does not allow.");
    this.list.replaceChildren(...(rules.length ? rules.map((rule) => this.row(rule)) : [none]));
  }

  private row(rule: Rule): HTMLElement {
    const text = h("span", { class: "rule-text" }, h("strong", {}, rule.does === "allow" ? "Allow " : "Forbid "), quotingText(covers(rule)));
    const facts = h("span", { class: "facts muted" }, plainText([SCOPES[rule.scope], rule.by && `by ${rule.by}`].filter(Boolean).join(" · ")));
    const end = button("Revoke", { class: "link small", "aria-label": `Revoke: ${rule.does} ${covers(rule)}`, hidden: !this.chat.canAct });
    doing(end, this.errors, async () => {
      await this.chat.revoke(rule.id);
      this.announce("The rule was revoked.");
      await this.read();
      this.button.focus();
    });
    return h("li", {}, icon(rule.does === "allow" ? "check" : "cross"), text, facts, end);
  }
}
