/** The transcript: a header that says how the chat stands, and its entries, growing at the end. */

import type { Aspect, Chat } from "../chat.ts";
import { button, framed, h, setText } from "../dom.ts";
import { icon } from "../icons.ts";
import type { Entry, Options } from "../wire.ts";
import { type Context, makeRow, type Row } from "./entry.ts";
import { Closing } from "./going.ts";
import { Header } from "./header.ts";
import { doing, ErrorLine } from "./pieces.ts";
import { QueueList } from "./queue.ts";
import { RuleList } from "./rules.ts";

const CHUNK = 50;
const NEAR_END = 32;

interface Shown extends Row {
  readonly id: string;
  readonly pos: number;
}

export function transcriptView(root: HTMLElement, chat: Chat, turnId: string, options: Options): () => void {
  const view = new TranscriptView(chat, turnId, options);
  root.append(view.element);
  return () => view.close();
}

class TranscriptView {
  readonly element: HTMLElement;
  private readonly chat: Chat;
  private readonly turnId: string;
  private readonly context: Context;
  private readonly header: Header;
  private readonly queue: QueueList;
  private readonly closing: Closing | null;
  private readonly rules: RuleList;
  private readonly list = h("div", { class: "entries" });
  private readonly scroller: HTMLElement;
  private readonly older: HTMLButtonElement;
  private readonly latest: HTMLButtonElement;
  private readonly empty = h("div", { class: "empty" });
  private readonly elsewhere = h("div", { class: "hint elsewhere", hidden: true });
  private readonly says = h("div", { class: "sr", role: "status", "aria-live": "polite" });
  private readonly errors = new ErrorLine();
  private readonly shown = new Map<string, Shown>();
  private order: Shown[] = [];
  private readonly touched = new Set<string>();
  private readonly settled = new Set<string>();
  private trouble = "";
  private stuck = true;
  private lastTop = 0;
  private readonly resized: ResizeObserver;
  private readonly paint = framed(() => this.draw());
  private readonly unlisten: () => void;
  private readonly ticking: number;

  constructor(chat: Chat, turnId: string, options: Options) {
    this.chat = chat;
    this.turnId = turnId;
    this.context = { chat, options, whole: turnId === "", announce: (text) => setText(this.says, text) };
    this.header = new Header(chat, turnId, this.errors);
    this.closing = turnId ? null : new Closing(chat, this.context.announce);
    this.rules = new RuleList(chat, this.context.announce);
    this.header.element.append(this.rules.button);
    if (this.closing) this.header.element.append(this.closing.button);
    this.queue = new QueueList(chat, this.errors);
    this.older = button("Load older entries", { class: "link older", hidden: true });
    doing(this.older, this.errors, () => this.loadOlder());
    this.scroller = h(
      "div",
      { class: "scroller", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Transcript" },
      this.older,
      this.empty,
      this.list,
    );
    this.latest = button("Jump to latest", { class: "latest", hidden: true, onclick: () => this.stick() }, icon("down"));
    const frame = h("div", { class: "frame" }, this.scroller, this.latest);
    this.element = h("section", { class: "panel transcript", "aria-label": "Agent transcript" }, this.header.element, this.rules.element, this.closing?.element, this.elsewhere, this.errors.element, frame, this.queue.element, this.says);
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.resized = new ResizeObserver(() => this.stuck && this.toEnd());
    this.resized.observe(this.list);
    this.rebuild();
    this.draw();
    this.unlisten = chat.listen((aspect, ids) => this.heard(aspect, ids));
    this.ticking = window.setInterval(() => this.header.tick(), 1000);
  }

  close(): void {
    this.unlisten();
    this.paint.cancel();
    this.resized.disconnect();
    clearInterval(this.ticking);
  }

  private heard(aspect: Aspect, ids: readonly string[]): void {
    if (aspect === "entries") for (const id of ids) this.touch(id);
    // What a pending permission and the end of a turn show depends on more than their entry.
    else if (aspect === "state") for (const kind of ["permission", "turn_ended"]) this.touchKind(kind);
    else if (aspect === "usage" || aspect === "changes") this.touchKind("turn_ended", ids);
    this.paint();
  }

  private touch(id: string): void {
    this.touched.add(id);
    const kind = this.chat.transcript.get(id)?.body.kind;
    if (kind === "turn_started" || kind === "turn_ended" || kind === "checkpoint") this.header.stale = true;
  }

  private touchKind(kind: string, turns: readonly string[] = []): void {
    for (const { id, element } of this.order) {
      if (!element.classList.contains(`kind-${kind}`)) continue;
      const turn = this.chat.transcript.get(id)?.turn_id ?? "";
      if (!turns.length || turns.includes(turn)) this.touched.add(id);
    }
  }

  private draw(): void {
    this.fold();
    this.header.update();
    this.closing?.update();
    this.rules.update();
    this.queue.update();
    this.element.classList.toggle("may-go-back", this.chat.canAct && !this.chat.running);
    this.showTrouble();
    this.older.hidden = !this.mayLoadOlder();
    const running = this.chat.running;
    this.empty.hidden = this.order.length > 0;
    setText(this.empty, running ? "The agent starts …" : this.chat.connection === "connecting" ? "Opening the chat …" : "Nothing was said yet.");
    if (this.stuck) this.toEnd();
  }

  /** Why the chat cannot go on, and who else runs it; each said once, where it can be read whole. */
  private showTrouble(): void {
    const { connection, why, info } = this.chat;
    const trouble = connection === "gone" ? why : info?.run_status === "error" ? (info.error ?? "") : "";
    if (trouble !== this.trouble) this.errors.show(trouble);
    this.trouble = trouble;
    this.elsewhere.hidden = !info?.runner || !this.chat.live;
    setText(this.elsewhere, `Run by ${info?.runner ?? ""}. What happens there is shown here.`);
  }

  // ---- the list

  private fold(): void {
    const ids = [...this.touched];
    this.touched.clear();
    const fresh: Shown[] = [];
    let again = false;
    for (const id of ids) {
      const entry = this.chat.transcript.get(id);
      if (!entry || !this.belongs(entry)) continue;
      const known = this.shown.get(id);
      if (known) known.update(entry);
      else if (entry.body.kind === "checkpoint" && entry.body.hides_from != null) again = true;
      else {
        const made = this.make(entry);
        if (made) fresh.push(made);
      }
    }
    fresh.sort((a, b) => a.pos - b.pos);
    const first = fresh[0];
    if (again || (first && !this.place(fresh))) this.rebuild();
  }

  /** Puts new rows at the end or at the start; false where they belong in between. */
  private place(fresh: Shown[]): boolean {
    const last = this.order.at(-1);
    if (!last || last.pos <= fresh[0]!.pos) {
      this.appendRows(fresh);
      this.order.push(...fresh);
      return true;
    }
    if (fresh.at(-1)!.pos > this.order[0]!.pos) return false;
    const height = this.scroller.scrollHeight;
    this.list.prepend(...chunksOf(fresh));
    this.order.unshift(...fresh);
    if (!this.stuck) this.scroller.scrollTop += this.scroller.scrollHeight - height;
    return true;
  }

  private appendRows(rows: Shown[]): void {
    const open = this.list.lastElementChild;
    const room = open ? CHUNK - open.childElementCount : 0;
    if (room > 0) open!.append(...rows.slice(0, room).map((row) => row.element));
    this.list.append(...chunksOf(rows.slice(Math.max(0, room))));
  }

  private rebuild(): void {
    this.shown.clear();
    this.order = [];
    for (const entry of this.chat.transcript) {
      const made = this.belongs(entry) ? this.make(entry) : null;
      if (made) this.order.push(made);
    }
    this.list.replaceChildren(...chunksOf(this.order));
  }

  private make(entry: Entry): Shown | null {
    if (this.turnId && entry.body.kind === "turn_started") return null; // the header says it
    const row = makeRow(entry, this.context);
    if (!row) return null;
    const shown = { id: entry.id, pos: entry.pos ?? 0, element: row.element, update: row.update };
    this.shown.set(entry.id, shown);
    this.settle(entry, row.element);
    return shown;
  }

  /** After the end of its turn nothing moves any more, whatever an agent's plan still says. */
  private settle({ body, turn_id }: Entry, element: HTMLElement): void {
    const turn = turn_id ?? "";
    element.dataset["turn"] = turn;
    if (body.kind === "turn_ended") {
      this.settled.add(turn);
      for (const { element } of this.shown.values()) if (element.dataset["turn"] === turn) element.classList.add("settled");
    } else if (this.settled.has(turn)) element.classList.add("settled");
  }

  private belongs(entry: Entry): boolean {
    const pos = entry.pos ?? 0;
    if (this.chat.transcript.isHidden(pos)) return false;
    return this.turnId ? entry.turn_id === this.turnId : pos >= this.chat.firstPos;
  }

  private mayLoadOlder(): boolean {
    if (!this.chat.live) return false;
    if (!this.turnId) return this.chat.firstPos > 1;
    return this.order.length > 0 && !this.header.turn;
  }

  private async loadOlder(): Promise<void> {
    const before = this.turnId ? (this.order[0]?.pos ?? 0) : this.chat.firstPos;
    this.unstick();
    if (before > 1) await this.chat.loadOlder(before);
    this.rebuildIfHoled();
    this.paint();
  }

  /** Entries that were known before the list reached them are taken in now. */
  private rebuildIfHoled(): void {
    let known = 0;
    for (const entry of this.chat.transcript) if (this.belongs(entry) && !this.touched.has(entry.id) && !this.shown.has(entry.id)) known++;
    if (known) for (const entry of this.chat.transcript) if (this.belongs(entry) && !this.shown.has(entry.id)) this.touched.add(entry.id);
  }

  // ---- scrolling

  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const near = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (near) this.stuck = true;
    else if (scrollTop < this.lastTop - 1) this.stuck = false;
    this.lastTop = scrollTop;
    this.latest.hidden = this.stuck;
    if (scrollTop < 40 && !this.stuck && !this.older.hidden && this.older.getAttribute("aria-disabled") !== "true") this.older.click();
  }

  private unstick(): void {
    this.stuck = this.scroller.scrollHeight <= this.scroller.clientHeight;
    this.latest.hidden = this.stuck;
  }

  private stick(): void {
    this.stuck = true;
    this.latest.hidden = true;
    this.toEnd();
    this.scroller.focus({ preventScroll: true });
  }

  private toEnd(): void {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.lastTop = this.scroller.scrollTop;
  }
}

function chunksOf(rows: readonly Row[]): HTMLElement[] {
  const chunks: HTMLElement[] = [];
  for (let at = 0; at < rows.length; at += CHUNK) {
    chunks.push(h("div", { class: "chunk" }, ...rows.slice(at, at + CHUNK).map((row) => row.element)));
  }
  return chunks;
}
