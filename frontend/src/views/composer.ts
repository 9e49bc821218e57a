/** The composer: a prompt, the agent that gets it, how much it may do by itself; send, stop, and what waits. */

import type { Aspect, Chat } from "../chat.ts";
import { button, framed, h, setText } from "../dom.ts";
import { agentIcon, icon } from "../icons.ts";
import { newId } from "../ids.ts";
import type { AgentInfo, PermissionMode } from "../wire.ts";
import { CommandList } from "./commands.ts";
import { MODE_LABELS } from "./entry.ts";
import { doing, ErrorLine } from "./pieces.ts";
import { QueueList } from "./queue.ts";

const MODES: Record<PermissionMode, string> = {
  ask: "Asks before it changes or runs something",
  accept_edits: "Edits files in the worktree without asking; asks before it runs something",
  plan: "Reads only, and makes a plan",
  bypass: "Does everything without asking",
};
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
  private readonly mode: HTMLSelectElement;
  private readonly why = h("div", { class: "hint agent-why", hidden: true });
  private readonly send: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private readonly tell: HTMLButtonElement;
  private readonly commands: CommandList;
  private readonly paint = framed(() => this.draw());
  private readonly unlisten: () => void;
  private agents: readonly AgentInfo[] | null = null;
  private asked = false;
  /** The id under which the text in the box goes out: a try that failed on the way is repeated as the same prompt. */
  private promptId = newId();

  constructor(chat: Chat) {
    this.chat = chat;
    this.queue = new QueueList(chat, this.errors);
    this.box = h("textarea", { rows: 2, placeholder: `Ask an agent …  (${SEND_KEYS} sends)`, "aria-label": `Prompt, ${SEND_KEYS} sends`, spellcheck: true });
    this.agent = h("select", { "aria-label": "Agent" });
    this.mode = h("select", { "aria-label": "What the agent may do by itself" });
    for (const [mode, title] of Object.entries(MODES)) this.mode.append(h("option", { value: mode, title }, MODE_LABELS[mode] ?? mode));
    this.send = button("Send", { class: "primary", title: SEND_KEYS }, icon("send"));
    this.stop = button("Stop", { class: "stop", hidden: true, title: "Stop this turn; the agent stays ready" }, icon("stop"));
    this.tell = button("Tell it now", { class: "tell", hidden: true, title: "Say this to the turn that runs, instead of queueing it" }, icon("send"));
    this.commands = new CommandList(this.box, chat, () => this.agent.value);
    const pickers = [h("label", { class: "picker" }, this.sign, this.agent), h("label", { class: "picker" }, this.mode)];
    const bar = h("div", { class: "composer-bar" }, ...pickers, h("span", { class: "spacer" }), this.stop, this.tell, this.send);
    const card = h("div", { class: "composer-box" }, this.commands.element, this.box, bar);
    this.element = h("section", { class: "composer", "aria-label": "Prompt an agent" }, this.queue.element, card, this.why, this.errors.element);
    doing(this.send, this.errors, () => this.submit());
    doing(this.stop, this.errors, () => chat.stop());
    doing(this.tell, this.errors, () => this.steer());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("input", () => this.typed());
    this.agent.addEventListener("change", () => this.picked());
    this.mode.addEventListener("change", () => (this.mode.title = MODES[this.mode.value as PermissionMode]));
    this.unlisten = chat.listen((aspect) => this.heard(aspect));
    this.draw();
  }

  close(): void {
    this.unlisten();
    this.paint.cancel();
  }

  private heard(aspect: Aspect): void {
    if (aspect === "state" || aspect === "agents" || aspect === "entries") this.paint();
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
    await this.chat.prompt(this.promptId, text, this.agent.value || null, this.mode.value as PermissionMode);
    this.sent(text);
  }

  private async steer(): Promise<void> {
    const text = this.box.value;
    if (!text.trim()) {
      this.box.focus();
      throw new Error("There is nothing to say yet. Write it, then say it.");
    }
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
    this.queue.update();
    this.stop.hidden = this.tell.hidden = !chat.running || !chat.canAct;
    setText(this.send.querySelector("span")!, chat.running || chat.info?.queued?.length ? "Queue" : "Send");
    for (const control of [this.box, this.agent, this.mode, this.send]) control.disabled = !chat.canAct;
    if (!chat.canAct) this.box.placeholder = this.whyNot();
    else this.box.placeholder = `Ask an agent …  (${SEND_KEYS} sends)`;
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
  }
}
