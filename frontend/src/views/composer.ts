/** The composer: a prompt and what goes with it, the agent that gets it and how it works; send, stop, and what waits. */

import type { Aspect, Chat } from "../chat.ts";
import { button, framed, h, setText } from "../dom.ts";
import { agentIcon, icon } from "../icons.ts";
import { newId } from "../ids.ts";
import type { AgentInfo, AgentOffer } from "../wire.ts";
import { Attachments } from "./attach.ts";
import { CommandList } from "./commands.ts";
import { MemoryChips, Pickers } from "./offers.ts";
import { doing, ErrorLine } from "./pieces.ts";
import { QueueList } from "./queue.ts";

const SEND_KEYS = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘ Enter" : "Ctrl+Enter";

export function composerView(root: HTMLElement, chat: Chat): () => void {
  const view = new ComposerView(chat);
  root.append(view.element);
  return () => view.close();
}

class ComposerView {
  readonly element: HTMLElement;
  private readonly chat: Chat;
  private readonly errors = new ErrorLine();
  private readonly queue: QueueList;
  private readonly box: HTMLTextAreaElement;
  private readonly agent: HTMLSelectElement;
  private readonly sign = h("span", { class: "picker-sign" });
  private readonly pickers = new Pickers();
  private readonly attached: Attachments;
  private readonly chips: MemoryChips;
  private readonly why = h("div", { class: "hint agent-why", hidden: true });
  private readonly send: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private readonly tell: HTMLButtonElement;
  private readonly commands: CommandList;
  private readonly paint = framed(() => this.draw());
  private readonly unlisten: () => void;
  private agents: readonly AgentInfo[] | null = null;
  private asked = false;
  /** The turn at whose beginning or end what agents offer was asked for last; it is another after each. */
  private offeredAt: string | null = null;
  /** The id under which the text in the box goes out: a try that failed on the way is repeated as the same prompt. */
  private promptId = newId();

  constructor(chat: Chat) {
    this.chat = chat;
    this.queue = new QueueList(chat, this.errors);
    this.box = h("textarea", { rows: 2, placeholder: `Ask an agent …  (${SEND_KEYS} sends)`, "aria-label": `Prompt, ${SEND_KEYS} sends`, spellcheck: true });
    this.agent = h("select", { "aria-label": "Agent" });
    this.attached = new Attachments((why) => this.errors.show(why), () => (this.promptId = newId()));
    this.chips = new MemoryChips((agent) => this.chooseAgent(agent));
    this.send = button("Send", { class: "primary", title: SEND_KEYS }, icon("send"));
    this.stop = button("Stop", { class: "stop", hidden: true, title: "Stop this turn; the agent stays ready" }, icon("stop"));
    this.tell = button("Tell it now", { class: "tell", hidden: true, title: "Say this to the turn that runs, instead of queueing it" }, icon("send"));
    this.commands = new CommandList(this.box, chat, () => this.agent.value);
    const pickers = [h("label", { class: "picker" }, this.sign, this.agent), ...this.pickers.elements];
    const bar = h("div", { class: "composer-bar" }, this.attached.button, ...pickers, h("span", { class: "spacer" }), this.stop, this.tell, this.send);
    const card = h("div", { class: "composer-box" }, this.commands.element, this.box, this.attached.element, bar);
    this.attached.listen(card, this.box);
    this.element = h("section", { class: "composer", "aria-label": "Prompt an agent" }, this.queue.element, card, this.chips.element, this.why, this.errors.element);
    doing(this.send, this.errors, () => this.submit());
    doing(this.stop, this.errors, () => chat.stop());
    doing(this.tell, this.errors, () => this.steer());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("input", () => this.typed());
    this.agent.addEventListener("change", () => this.picked());
    this.unlisten = chat.listen((aspect) => this.heard(aspect));
    this.draw();
  }

  close(): void {
    this.unlisten();
    this.paint.cancel();
  }

  private heard(aspect: Aspect): void {
    if (aspect === "state" || aspect === "agents" || aspect === "offers" || aspect === "entries") this.paint();
  }

  private key(event: KeyboardEvent): void {
    if (this.commands.key(event)) return;
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    this.send.click();
  }

  private typed(): void {
    this.errors.show("");
    this.commands.update();
    this.promptId = newId();
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight, 260)}px`;
  }

  private async submit(): Promise<void> {
    const text = this.box.value;
    if (!text.trim()) {
      this.box.focus();
      throw new Error("The prompt is empty. Write what the agent should do, then send it.");
    }
    const obstacle = this.attached.obstacle;
    if (obstacle) throw new Error(obstacle);
    const { attachments } = this.attached;
    await this.chat.prompt({ id: this.promptId, text, agent: this.agent.value || null, ...this.pickers.chosen, ...(attachments.length > 0 && { attachments }) });
    this.attached.drop(attachments);
    this.sent(text);
  }

  private async steer(): Promise<void> {
    const text = this.box.value;
    if (!text.trim()) {
      this.box.focus();
      throw new Error("There is nothing to say yet. Write it, then say it.");
    }
    if (this.attached.attachments.length) throw new Error("Files cannot be told to a turn that runs. Queue the prompt, or remove them.");
    if (!(await this.chat.steer(text))) throw new Error("This agent takes nothing while it works. Queue it, or stop the turn first.");
    this.sent(text);
  }

  private sent(text: string): void {
    if (this.box.value !== text) return;
    this.box.value = "";
    this.typed();
  }

  private draw(): void {
    const { chat } = this;
    if (chat.live && !this.asked) {
      this.asked = true;
      chat.loadAgents().catch((error: unknown) => this.errors.show(error));
    }
    if (chat.agents !== this.agents) this.listAgents(chat.agents ?? []);
    this.askOffers();
    this.showOffer();
    this.queue.update();
    this.stop.hidden = this.tell.hidden = !chat.running || !chat.canAct;
    setText(this.send.querySelector("span")!, chat.running || chat.info?.queued?.length ? "Queue" : "Send");
    const { model, effort, mode } = this.pickers;
    for (const control of [this.box, this.agent, model, effort, mode, this.attached.button, this.send]) control.disabled = !chat.canAct;
    if (!chat.canAct) this.box.placeholder = this.whyNot();
    else this.box.placeholder = `Ask an agent …  (${SEND_KEYS} sends)`;
  }

  /** What agents offer is another after each turn, and after each time that the chat went back. */
  private askOffers(): void {
    const { chat } = this;
    if (!chat.live || chat.connection !== "up" || !chat.info) return;
    const now = `${chat.info.turn_id ?? ""} ${chat.info.rev ?? 0}`;
    if (now === this.offeredAt || (chat.running && chat.offers)) return;
    this.offeredAt = now;
    chat.loadOffers().catch(() => {}); // without them, what an agent takes is tried
  }

  private showOffer(): void {
    const offers = this.chat.offers ?? [];
    const usable = new Map((this.agents ?? []).filter((agent) => agent.available).map((agent) => [agent.name, agent.label]));
    const offer: AgentOffer | null = offers.find((one) => one.agent === this.agent.value) ?? null;
    this.pickers.show(this.agent.value, offer);
    this.attached.offered(usable.get(this.agent.value) ?? "", offer);
    this.chips.update(offers, this.agent.value, usable);
  }

  private chooseAgent(name: string): void {
    this.agent.value = name;
    this.picked();
  }

  private whyNot(): string {
    if (this.chat.connection === "connecting") return "Connecting …";
    if (this.chat.live) return "You may read this chat, not write to it.";
    return this.chat.why || "This is a saved view. Run the cell again to go on with the chat.";
  }

  private listAgents(agents: readonly AgentInfo[]): void {
    this.agents = agents;
    const before = this.agent.value;
    this.agent.replaceChildren(
      ...agents.map((agent) => {
        const label = agent.available ? agent.label : `${agent.label} (${agent.reason || "not available"})`;
        return h("option", { value: agent.name, disabled: !agent.available, title: [agent.reason, agent.cure].filter(Boolean).join(" ") || agent.version }, label);
      }),
    );
    const usable = agents.filter((agent) => agent.available);
    const wanted = [before, this.lastAgent(), agents.find((agent) => agent.default)?.name, usable[0]?.name];
    this.agent.value = wanted.find((name) => usable.some((agent) => agent.name === name)) ?? "";
    this.why.hidden = usable.length > 0 || agents.length === 0;
    setText(this.why, this.why.hidden ? "" : agents.map((agent) => `${agent.label}: ${[agent.reason, agent.cure].filter(Boolean).join(" ")}`).join("\n"));
    this.picked();
  }

  private lastAgent(): string | undefined {
    let last: string | undefined;
    for (const { body } of this.chat.transcript) if (body.kind === "turn_started") last = body.agent;
    return last;
  }

  private picked(): void {
    const chosen = this.agents?.find((agent) => agent.name === this.agent.value);
    this.sign.replaceChildren(agentIcon(chosen?.icon || this.agent.value || "?"));
    this.commands.update();
    this.agent.title = chosen ? [chosen.label, chosen.version].filter(Boolean).join(" ") : "";
    this.showOffer();
    this.errors.show(this.attached.obstacle);
  }
}
