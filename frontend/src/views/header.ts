/** The head of a transcript: who works, on which model, in what state, for how long, for how much; and Stop. */

import type { Chat } from "../chat.ts";
import { button, h, setText } from "../dom.ts";
import { agentIcon, agentLabel, icon, spinner } from "../icons.ts";
import { clock, duration, usageLine } from "../text.ts";
import type { Attention, Entry, TurnEnded, TurnStarted } from "../wire.ts";
import { ENDS, MODE_LABELS } from "./entry.ts";
import { doing, type ErrorLine } from "./pieces.ts";

interface Turn {
  id: string | null | undefined;
  started: Entry & { body: TurnStarted };
  ended: TurnEnded | null;
}

type Words = { words: string; tone: string; sign: string };

const WAITS: Record<string, Words> = {
  permission: { words: "Waits for your permission", tone: "warn", sign: "lock" },
  question: { words: "Waits for your answer", tone: "warn", sign: "question" },
  held: { words: "Held until you go on", tone: "warn", sign: "clock" },
};

/** What a chat is doing, as it is said in its head; what is over is said by its end. */
const DOING: Partial<Record<string, (now: Attention) => Words | null>> = {
  waiting: ({ why }) => WAITS[why ?? ""] ?? null,
  starting: ({ why, place }) => {
    if (why === "slot" && place) return { words: `Waits for a free place, number ${place}`, tone: "accent", sign: "clock" };
    if (why === "session") return { words: "Waits for another chat of this session", tone: "accent", sign: "clock" };
    return { words: "Starting", tone: "accent", sign: "spinner" };
  },
  working: () => ({ words: "Running", tone: "accent", sign: "spinner" }),
};

export class Header {
  readonly element: HTMLElement;
  private readonly chat: Chat;
  private readonly turnId: string;
  private readonly sign = h("span", { class: "header-sign" });
  private readonly name = h("span", { class: "agent-name" });
  private readonly model = h("span", { class: "muted model" });
  private readonly mode = h("span", { class: "tag", hidden: true });
  private readonly state = h("span", { class: "state" });
  private readonly time = h("span", { class: "elapsed" });
  private readonly usage = h("span", { class: "usage-so-far" });
  private readonly stop: HTMLButtonElement;
  turn: Turn | null = null;
  private agent = "";
  private shownState = "";
  private stopping: string | null = null;
  /** Whether turns have come or gone since the last look. */
  stale = true;

  constructor(chat: Chat, turnId: string, errors: ErrorLine) {
    this.chat = chat;
    this.turnId = turnId;
    this.stop = button("Stop", { class: "stop", hidden: true, title: "Stop this turn; the agent stays ready" }, icon("stop"));
    doing(this.stop, errors, () => this.askStop());
    this.element = h(
      "header",
      { class: "header" },
      this.sign,
      h("span", { class: "who" }, this.name, this.model),
      this.mode,
      this.state,
      h("span", { class: "figures" }, this.time, this.usage),
      this.stop,
    );
  }

  update(): void {
    if (this.stale) this.turn = this.findTurn();
    this.stale = false;
    this.showAgent();
    this.showState();
    this.tick();
    const usage = usageLine(this.chat.usageRows(this.turnId));
    setText(this.usage, usage.text || (this.turn?.ended ? "tokens n/a" : "no usage yet"));
    this.usage.title = usage.title;
  }

  tick(): void {
    const { turn } = this;
    const running = turn && this.isRunning();
    setText(this.time, !turn ? "" : running ? clock(Date.now() - (turn.started.ts ?? Date.now())) : duration(turn.ended?.duration_ms));
    this.time.hidden = this.time.textContent === "";
  }

  private async askStop(): Promise<void> {
    this.stopping = this.chat.info?.turn_id ?? "";
    this.showState();
    try {
      await this.chat.stop();
    } catch (error) {
      this.stopping = null;
      this.showState();
      throw error;
    }
  }

  /** The turn that is shown: the one that was asked for, or the last one. */
  private findTurn(): Turn | null {
    let found: Turn | null = null as Turn | null;
    for (const entry of this.chat.transcript) {
      if (this.turnId && entry.turn_id !== this.turnId) continue;
      const body = entry.body;
      if (body.kind === "turn_started") found = { id: entry.turn_id, started: { ...entry, body }, ended: null };
      else if (body.kind === "turn_ended" && found !== null && found.id === entry.turn_id) found.ended = body;
    }
    return found;
  }

  private isRunning(): boolean {
    return this.chat.running && (!this.turnId || this.chat.info?.turn_id === this.turnId);
  }

  private showAgent(): void {
    const agent = this.turn?.started.body.agent ?? "";
    setText(this.model, this.turn?.started.body.model ?? "");
    const mode = this.turn?.started.body.mode;
    this.mode.hidden = !this.turnId || !mode || mode === "ask";
    setText(this.mode, mode ? (MODE_LABELS[mode] ?? mode) : "");
    setText(this.name, agent ? this.turn?.started.body.label || agentLabel(agent) : "Chat");
    if (agent === this.agent) return;
    this.agent = agent;
    this.sign.replaceChildren(...(agent ? [agentIcon(agent)] : []));
  }

  private showState(): void {
    const { chat } = this;
    const running = this.isRunning();
    if (!running || this.stopping !== (chat.info?.turn_id ?? "")) this.stopping = null;
    const { words, tone, sign } = this.words(running);
    this.stop.hidden = !running || !chat.canAct;
    setText(this.stop.querySelector("span")!, this.stopping !== null ? "Stopping …" : "Stop");
    const now = `${words}|${tone}|${sign}`;
    if (now === this.shownState) return;
    this.shownState = now;
    this.state.className = `state ${tone}`;
    this.state.replaceChildren(sign === "spinner" ? spinner() : sign ? icon(sign) : h("span", { class: "dot" }), h("span", {}, words));
    this.state.title = chat.why;
  }

  private words(running: boolean): Words {
    const { chat } = this;
    if (chat.connection === "gone") return { words: "Not connected", tone: "warn", sign: "warning" };
    if (chat.connection === "down") return { words: chat.linkedBy === "kernel" ? "Waiting for the kernel …" : "Reconnecting …", tone: "warn", sign: "spinner" };
    if (running && this.stopping !== null) return { words: "Stopping …", tone: "accent", sign: "spinner" };
    const doing = chat.live && (running || !this.turnId) ? DOING[chat.info?.attention?.state ?? "idle"]?.(chat.info!.attention!) : null;
    if (doing) return doing;
    if (running) return { words: "Running", tone: "accent", sign: "spinner" };
    if (chat.info?.run_status === "error") return { words: "Error", tone: "bad", sign: "warning" };
    if (this.turn?.ended) {
      const end = ENDS[this.turn.ended.end];
      return { words: end.label, tone: end.tone, sign: end.sign };
    }
    if (!chat.live) return { words: "Saved view", tone: "", sign: "clock" };
    return { words: "Ready", tone: "", sign: "" };
  }
}
