/** What the next prompt may ask of an agent: its model, how much it thinks, how much it may do; and what it remembers. */

import { button, h, setText } from "../dom.ts";
import { agentIcon, agentLabel } from "../icons.ts";
import type { AgentOffer, PermissionMode } from "../wire.ts";
import { MODE_LABELS } from "./entry.ts";

const MODES: Record<PermissionMode, string> = {
  ask: "Asks before it changes or runs something",
  accept_edits: "Edits files in the worktree without asking; asks before it runs something",
  plan: "Reads only, and makes a plan",
  bypass: "Does everything without asking",
};
const MEMORY: Record<AgentOffer["memory"], { label: string; alone: string; told: string }> = {
  resumed: { label: "resumed", alone: "goes on with its own memory of this chat.", told: "goes on with its own memory, and is told first what others said and did since." },
  history: { label: "history", alone: "has lost its own memory of this chat.", told: "has lost its own memory, and is told the conversation so far." },
  new: { label: "new", alone: "has not spoken here yet.", told: "has not spoken here yet, and is told the conversation so far." },
};

/** The pickers of model, effort and mode; what was picked for an agent is kept for when it is chosen again. */
export class Pickers {
  readonly model = h("select", { "aria-label": "Model" });
  readonly effort = h("select", { "aria-label": "How much the agent thinks" });
  readonly mode = h("select", { "aria-label": "What the agent may do by itself" });
  readonly elements: readonly HTMLElement[];
  private readonly picked = new Map<string, { model: string; effort: string }>();
  private offer: AgentOffer | null = null;
  private agent = "";

  constructor() {
    this.listModes();
    this.elements = [this.model, this.effort, this.mode].map((select) => h("label", { class: "picker" }, select));
    this.model.addEventListener("change", () => this.pick());
    this.effort.addEventListener("change", () => this.pick());
    this.mode.addEventListener("change", () => (this.mode.title = MODES[this.mode.value as PermissionMode]));
    this.show("", null);
  }

  /** Shows what an agent offers; null where that is not known yet. */
  show(agent: string, offer: AgentOffer | null): void {
    if (agent === this.agent && offer === this.offer) return;
    [this.agent, this.offer] = [agent, offer];
    const models = offer?.models ?? [];
    const wanted = this.picked.get(agent)?.model ?? "";
    this.model.replaceChildren(option("", "Default model"), ...grouped(models.map(({ id, label }) => option(id, label || id))));
    this.model.value = models.some(({ id }) => id === wanted) ? wanted : "";
    this.elements[0]!.hidden = models.length === 0;
    this.listEfforts();
    this.listModes();
  }

  get chosen(): { model?: string; effort?: string; mode: PermissionMode } {
    return { ...(this.model.value && { model: this.model.value }), ...(this.effort.value && { effort: this.effort.value }), mode: this.mode.value as PermissionMode };
  }

  private pick(): void {
    this.picked.set(this.agent, { model: this.model.value, effort: this.effort.value });
    this.listEfforts();
  }

  private listEfforts(): void {
    const efforts = this.offer?.efforts ?? {};
    const offered = efforts[this.model.value || (this.offer?.model ?? "")] ?? efforts[""] ?? [];
    const wanted = this.picked.get(this.agent)?.effort ?? "";
    this.effort.replaceChildren(option("", "Default effort"), ...offered.map((effort) => option(effort, `${effort.charAt(0).toUpperCase()}${effort.slice(1)} effort`)));
    this.effort.value = offered.includes(wanted) ? wanted : "";
    this.elements[1]!.hidden = offered.length === 0;
  }

  private listModes(): void {
    const before = this.mode.value || "ask";
    const allowed = this.offer?.modes?.length ? this.offer.modes : (Object.keys(MODES) as PermissionMode[]);
    this.mode.replaceChildren(
      ...Object.entries(MODES).map(([mode, title]) => {
        const may = allowed.includes(mode as PermissionMode);
        const label = MODE_LABELS[mode] ?? mode;
        return h("option", { value: mode, disabled: !may, title: may ? title : "The administrator does not allow it here." }, may ? label : `${label} (not allowed here)`);
      }),
    );
    this.mode.value = allowed.includes(before as PermissionMode) ? before : allowed.at(-1)!;
  }
}

/** What the next prompt does with the memory of each agent that has spoken here, and of the one that is chosen. */
export class MemoryChips {
  readonly element = h("div", { class: "memory", hidden: true });
  private readonly list = h("div", { class: "chips", role: "group", "aria-label": "What the agents remember of this chat" });
  private readonly says = h("span", { class: "hint", role: "status" });
  private readonly choose: (agent: string) => void;
  private shown = "";

  constructor(choose: (agent: string) => void) {
    this.choose = choose;
    this.element.append(this.list, this.says);
  }

  update(offers: readonly AgentOffer[], chosen: string, usable: ReadonlyMap<string, string>): void {
    const fresh = offers.every((offer) => offer.memory === "new" && !offer.told);
    const chips = offers.filter((offer) => usable.has(offer.agent) && (offer.memory !== "new" || offer.agent === chosen));
    const now = JSON.stringify([fresh, chosen, chips.map((offer) => [offer.agent, offer.memory, offer.told])]);
    if (now === this.shown) return;
    this.shown = now;
    this.element.hidden = fresh || chips.length === 0;
    this.list.replaceChildren(...chips.map((offer) => this.chip(offer, offer.agent === chosen, usable.get(offer.agent)!)));
    const current = chips.find((offer) => offer.agent === chosen);
    setText(this.says, current && !fresh ? `${usable.get(chosen)} ${sentence(current)}` : "");
  }

  private chip(offer: AgentOffer, isChosen: boolean, label: string): HTMLElement {
    const made = button(`${label || agentLabel(offer.agent)}: ${MEMORY[offer.memory].label}`, { class: `chip ${offer.memory}`, "aria-pressed": String(isChosen), title: `${label} ${sentence(offer)}` }, agentIcon(offer.agent));
    made.addEventListener("click", () => this.choose(offer.agent));
    return made;
  }
}

function sentence(offer: AgentOffer): string {
  return MEMORY[offer.memory][offer.told ? "told" : "alone"];
}

function option(value: string, label: string): HTMLOptionElement {
  return h("option", { value }, label);
}

/** Models of several providers, by provider. */
function grouped(options: HTMLOptionElement[]): HTMLElement[] {
  const groups = new Map<string, HTMLOptionElement[]>();
  for (const one of options) {
    const cut = one.value.indexOf("/");
    const provider = cut > 0 ? one.value.slice(0, cut) : "";
    groups.set(provider, [...(groups.get(provider) ?? []), one]);
  }
  if (groups.size < 2) return options;
  return [...groups].flatMap(([provider, of]) => (provider ? [h("optgroup", { label: provider }, ...of)] : of));
}
