/** The warm agents: what lives, how it is and why; each can be looked into, started anew and ended. Asked for while it is seen. */

import { button, h, plainText, setText } from "../dom.ts";
import { agentIcon, agentLabel, icon } from "../icons.ts";
import { clock, mebibytes, plural } from "../text.ts";
import type { Link } from "../transport.ts";
import { type AgentLog, type LiveAgent, WireError } from "../wire.ts";

/** Milliseconds between two questions. */
const EVERY = 2000;
type Deed = "evict" | "restart";

const STATES: Record<LiveAgent["state"], { word: string; sign: string; title: string }> = {
  starting: { word: "starting", sign: "clock", title: "It is being started" },
  idle: { word: "idle", sign: "check", title: "It waits for a prompt" },
  busy: { word: "busy", sign: "execute", title: "It has a turn" },
  deaf: { word: "does not answer", sign: "warning", title: "Its process lives and does not answer" },
  waiting: { word: "waits to start", sign: "clock", title: "It ended by itself, and is started again in a moment" },
  broken: { word: "not started any more", sign: "warning", title: "It ended by itself too often: a prompt starts it, or Restart" },
};

/** Shows the pool; `link` comes when it is known who can be asked, and is null where nobody can be. */
export function poolView(root: HTMLElement, first: readonly LiveAgent[], link: Promise<Link | null>): () => void {
  const rows = new Map<string, Row>();
  const sum = h("span", { class: "hint" });
  const said = h("div", { class: "hint said", role: "status", hidden: true });
  const empty = h("div", { class: "empty" }, "No agent is warm. The next prompt starts one.");
  const list = h("ul", { class: "agents", "aria-label": "Warm agents" });
  const panel = h("section", { class: "panel pool", "aria-label": "Agents", tabindex: -1 }, h("div", { class: "bar" }, h("h3", {}, "Agents"), sum), list, empty, said);
  root.append(panel);
  let asked: Link | null = null;
  let timer = 0;
  let closed = false;
  let lost = false;

  const say = (text: string, bad = false): void => {
    said.hidden = text === "";
    said.classList.toggle("bad", bad);
    setText(said, text);
  };
  const draw = (agents: readonly LiveAgent[]): void => {
    const here = new Set(agents.map((agent) => agent.key));
    for (const [key, row] of rows) {
      if (here.has(key)) continue;
      const focused = row.element.matches(":focus-within");
      row.gone();
      if (row.open) continue;
      const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
      row.element.remove();
      rows.delete(key);
      if (focused) (next?.querySelector("button") ?? panel).focus(); // who works by keys goes on from here
    }
    for (const agent of agents) {
      const row = rows.get(agent.key) ?? new Row(agent.key, (verb) => void act(agent, verb), () => void look(agent.key));
      rows.set(agent.key, row);
      row.show(agent, asked !== null);
      if (!row.element.isConnected) list.append(row.element);
    }
    const memory = agents.reduce((total, agent) => total + (agent.memory ?? 0), 0);
    setText(sum, agents.length ? `${plural(agents.length, "agent")}${memory ? ` · ${mebibytes(memory)}` : ""}` : "");
    empty.hidden = rows.size > 0;
  };
  const refresh = async (): Promise<void> => {
    clearTimeout(timer);
    if (asked && document.visibilityState === "visible") {
      try {
        draw(await asked.call<LiveAgent[]>("GET", "pool"));
        await Promise.all([...rows].map(([key, row]) => (row.open ? look(key) : null)));
        if (lost) say("");
        lost = false;
      } catch (error) {
        lost = true;
        say(sentence(error), true);
      }
    }
    if (!closed) timer = window.setTimeout(() => void refresh(), EVERY);
  };
  const act = async (agent: LiveAgent, verb: Deed): Promise<void> => {
    if (!asked) return;
    const name = agentLabel(agent.agent);
    say(verb === "evict" ? `${name} is being ended.` : `${name} is being started anew.`);
    try {
      const { done } = await asked.call<{ done: boolean }>("POST", `pool/${encodeURIComponent(agent.key)}/${verb}`);
      if (!done) say(`${name} is busy, or gone already: nothing was done.`, true);
      else say(verb === "evict" ? `${name} was ended: its next prompt goes on where it was.` : `${name} was started anew.`);
    } catch (error) {
      say(sentence(error), true);
    }
    await refresh();
  };
  const look = async (key: string): Promise<void> => {
    const row = rows.get(key);
    if (!asked || !row?.open) return;
    row.tell(await asked.call<AgentLog>("GET", `pool/${encodeURIComponent(key)}/log`).catch((error: unknown) => sentence(error)));
  };
  const seen = (): void => void refresh();
  document.addEventListener("visibilitychange", seen);
  draw(first);
  void link.then((found) => {
    asked = found;
    draw(first);
    void refresh();
  });
  return () => {
    closed = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}

/** One agent: its figures, why it is as it is, and its log; changed in place, so that the focus stays. */
class Row {
  readonly element: HTMLLIElement;
  open = false;
  private readonly badge = h("span", { class: "badge" });
  private readonly state = h("span", { class: "state" });
  private readonly about = h("div", { class: "about" });
  private readonly facts = h("div", { class: "hint facts" });
  private readonly why = h("div", { class: "why" });
  private readonly log = h("div", { class: "agent-log", hidden: true });
  private readonly logButton: HTMLButtonElement;
  private readonly restart: HTMLButtonElement;
  private readonly end: HTMLButtonElement;
  private drawn = "";

  constructor(key: string, act: (verb: Deed) => void, look: () => void) {
    this.log.id = `log-${key.replace(/\W/g, "-")}`;
    const toggle = () => {
      this.toggle();
      look();
    };
    const unless = (verb: Deed) => () => {
      if (this.control(verb).getAttribute("aria-disabled") !== "true") act(verb);
    };
    this.logButton = button("Log", { class: "quiet", "aria-expanded": "false", "aria-controls": this.log.id, onclick: toggle });
    this.restart = button("Restart", { onclick: unless("restart") });
    this.end = button("End", { class: "stop", onclick: unless("evict") });
    const actions = h("div", { class: "actions", role: "group" }, this.logButton, this.restart, this.end);
    this.element = h("li", { class: "agent" }, h("div", { class: "agent-line" }, this.badge, this.state, h("span", { class: "spacer" }), actions), this.about, this.facts, this.why, this.log);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.open) return;
      this.toggle();
      this.logButton.focus();
    });
  }

  show(agent: LiveAgent, live: boolean): void {
    const now = Date.now();
    const name = agentLabel(agent.agent);
    this.look(agent, name);
    const about = agent.title || (agent.chat_id ? "" : `A server for ${plural(agent.chats ?? 1, "chat")}`);
    setText(this.about, about);
    this.about.title = about;
    setText(this.facts, factsOf(agent, now));
    const why = reason(agent, now);
    this.why.hidden = why === "";
    if (this.why.textContent !== why) this.why.replaceChildren(plainText(why));
    this.logButton.disabled = !live;
    this.logButton.setAttribute("aria-label", `Log of ${name}`);
    const busy = agent.state === "busy" || agent.state === "starting";
    for (const [verb, word] of [["restart", "Restart"], ["evict", "End"]] as const) {
      const control = this.control(verb);
      control.disabled = !live;
      control.setAttribute("aria-disabled", String(busy || (verb === "evict" && agent.state === "broken")));
      control.setAttribute("aria-label", `${word} ${name}`);
      control.title = busy ? "It has a turn, or is being started: wait, or stop the turn first" : "";
    }
  }

  /** It is not in the pool any more, and stays here because its log is being read. */
  gone(): void {
    this.drawn = "";
    this.state.replaceChildren("ended");
    this.state.className = "state";
    this.restart.disabled = this.end.disabled = true;
  }

  tell(log: AgentLog | string): void {
    const text = JSON.stringify(log);
    if (this.log.dataset["text"] === text) return;
    this.log.dataset["text"] = text;
    const focused = this.log.querySelector("pre:focus") !== null;
    this.log.replaceChildren(...(typeof log === "string" ? [h("div", { class: "bad" }, log)] : logOf(log)));
    const stderr = this.log.querySelector("pre");
    if (stderr) stderr.scrollTop = stderr.scrollHeight;
    if (focused) stderr?.focus();
  }

  private look(agent: LiveAgent, name: string): void {
    const drawn = `${agent.agent} ${agent.state}`;
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    const { word, sign, title } = STATES[agent.state] ?? STATES.idle;
    this.badge.replaceChildren(agentIcon(agent.agent), h("b", {}, name));
    this.state.replaceChildren(icon(sign), h("span", {}, word));
    this.state.className = `state state-${agent.state}`;
    this.state.title = title;
  }

  private control(verb: Deed): HTMLButtonElement {
    return verb === "restart" ? this.restart : this.end;
  }

  private toggle(): void {
    this.open = !this.open;
    this.log.hidden = !this.open;
    this.logButton.setAttribute("aria-expanded", String(this.open));
    if (this.open && !this.log.firstChild) this.log.append(h("div", { class: "hint" }, "Loading …"));
  }
}

function logOf(log: AgentLog): HTMLElement[] {
  const happened = (log.happenings ?? []).map((one) =>
    h("tr", {}, h("th", { scope: "row" }, new Date(one.ts).toLocaleTimeString()), h("td", {}, one.word), h("td", {}, plainText(one.text ?? ""))),
  );
  return [
    happened.length
      ? h("table", { "aria-label": "What happened to it" }, h("tbody", {}, ...happened))
      : h("div", { class: "hint" }, "Nothing is known to have happened to it."),
    log.stderr
      ? h("pre", { tabindex: 0, "aria-label": "The end of its standard error" }, plainText(log.stderr))
      : h("div", { class: "hint" }, "It has written nothing to its standard error."),
  ];
}

function factsOf(agent: LiveAgent, now: number): string {
  const facts: string[] = [];
  if (agent.started_at != null) facts.push(`up ${clock(now - agent.started_at)}`);
  if (agent.last_active_at != null && agent.state !== "busy") facts.push(`unused ${clock(now - agent.last_active_at)}`);
  if (agent.memory != null) facts.push(mebibytes(agent.memory));
  if (agent.pid != null) facts.push(`process ${agent.pid}`);
  return facts.join(" · ");
}

/** Why an agent is as it is, in a sentence. */
function reason(agent: LiveAgent, now: number): string {
  const restarts = agent.restarts ?? 0;
  const why = agent.why ?? "";
  const times = restarts === 1 ? "once" : `${restarts} times`;
  const past = restarts > 0 ? `Started again ${times}${why ? `: ${why}` : "."}` : why;
  const next = agent.retry_at == null ? "" : `It is started again in ${clock(Math.max(0, agent.retry_at - now))}.`;
  return [past, next].filter(Boolean).join(" ");
}

function sentence(error: unknown): string {
  return error instanceof WireError ? error.message : "The kernel does not answer. Run the cell again.";
}
