/** The list that "/" opens over the prompt's box: the chosen agent's own commands, by keyboard and by mouse. */

import type { Chat } from "../chat.ts";
import { h, plainText } from "../dom.ts";
import { newId } from "../ids.ts";
import type { AgentCommands, Command } from "../wire.ts";

const SHOWN = 50;

export class CommandList {
  readonly element: HTMLElement;
  private readonly box: HTMLTextAreaElement;
  private readonly chat: Chat;
  private readonly agent: () => string;
  private known: readonly AgentCommands[] = [];
  private asked = "";
  private fits: readonly Command[] = [];
  private at = 0;
  private closedFor: string | null = null;

  constructor(box: HTMLTextAreaElement, chat: Chat, agent: () => string) {
    this.box = box;
    this.chat = chat;
    this.agent = agent;
    this.element = h("ul", { class: "command-list", role: "listbox", id: `commands-${newId()}`, "aria-label": "The agent's commands", hidden: true });
    box.setAttribute("aria-autocomplete", "list");
    box.setAttribute("aria-controls", this.element.id);
    box.setAttribute("aria-haspopup", "listbox");
    box.addEventListener("blur", () => this.close());
    this.element.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
  }

  /** To be called whenever the text, or the chosen agent, has changed. */
  update(): void {
    const text = this.box.value;
    const typed = /^\/(\S*)$/.exec(text);
    if (!typed || this.box.disabled) return this.close();
    if (this.closedFor === text) return;
    this.closedFor = null;
    this.ask();
    const offered = this.known.find((of) => of.agent === this.agent())?.commands ?? [];
    const begun = typed[1]!.toLowerCase();
    this.fits = offered.filter((command) => command.name.toLowerCase().startsWith(begun)).slice(0, SHOWN);
    this.at = 0;
    this.draw();
  }

  /** Whether the key was for the list. */
  key(event: KeyboardEvent): boolean {
    if (this.element.hidden || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") this.move(event.key === "ArrowDown" ? 1 : -1);
    else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey) this.take(this.fits[this.at]!);
    else if (event.key === "Escape") this.close(this.box.value);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  private ask(): void {
    const turns = `${this.chat.info?.turn_id}`; // a turn may have brought others
    if (this.asked === turns) return;
    this.asked = turns;
    this.chat.commands().then(
      (known) => ((this.known = known), this.update()),
      () => (this.asked = ""), // without a list, the command is typed
    );
  }

  private move(by: number): void {
    this.at = (this.at + by + this.fits.length) % this.fits.length;
    this.draw();
  }

  private take(command: Command): void {
    this.box.value = `/${command.name} `;
    this.close();
    this.box.focus();
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  private close(typed: string | null = null): void {
    this.closedFor = typed;
    this.fits = [];
    this.draw();
  }

  private draw(): void {
    const open = this.fits.length > 0;
    this.element.hidden = !open;
    this.element.replaceChildren(...this.fits.map((command, number) => this.option(command, number)));
    if (!open) return this.box.removeAttribute("aria-activedescendant");
    const active = this.element.children[this.at]!;
    this.box.setAttribute("aria-activedescendant", active.id);
    active.scrollIntoView({ block: "nearest" });
  }

  private option(command: Command, number: number): HTMLElement {
    const hint = command.hint ? h("span", { class: "muted" }, plainText(` ${command.hint}`)) : null;
    const name = h("span", { class: "mono" }, plainText(`/${command.name}`), hint);
    const about = h("span", { class: "muted command-about" }, plainText(command.description ?? ""));
    const attributes = { role: "option", id: `${this.element.id}-${number}`, "aria-selected": String(number === this.at) };
    return h("li", { ...attributes, onclick: () => this.take(command) }, name, about);
  }
}
