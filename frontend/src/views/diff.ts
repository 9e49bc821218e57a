/** The diff panel: what the agents changed, file by file and hunk by hunk, to apply, to reject, to undo and to comment. */

import type { Aspect, Chat, Verb } from "../chat.ts";
import { button, framed, h, setText } from "../dom.ts";
import { agentLabel, icon } from "../icons.ts";
import { plural } from "../text.ts";
import type { Change } from "../wire.ts";
import { Tray } from "./diffcomments.ts";
import { added, FileView, isOpen, type Panel } from "./difffile.ts";
import { type Layout, roomAtOnce, Slices } from "./difftable.ts";
import { doing, ErrorLine, stat } from "./pieces.ts";

const DONE: Record<Verb, string> = { apply: "applied", reject: "rejected", revert: "undone" };
const KEYS = "j k: next and previous hunk · n p: file · a: apply · r: reject · u: undo · c: comment (↑ ↓ choose the line) · x: fold · s: layout";
const LAYOUT = "coder-nb:diff-layout";
const WIDE = 700;

export function diffView(root: HTMLElement, chat: Chat, turnId: string): () => void {
  const view = new DiffView(chat, turnId);
  root.append(view.element);
  return () => view.close();
}

class DiffView {
  readonly element: HTMLElement;
  private readonly chat: Chat;
  private readonly turnId: string;
  private readonly errors = new ErrorLine();
  private readonly title = h("span", { class: "title" });
  private readonly sum = h("span", { class: "muted sum" });
  private readonly applyAll = button("Apply all", { class: "primary" }, icon("check"));
  private readonly rejectAll = button("Reject all", { class: "quiet" }, icon("cross"));
  private readonly flip = button("Side by side", { class: "quiet", "aria-pressed": "false" });
  private readonly hint = h("div", { class: "hint worktree-hint" });
  private readonly keys = h("div", { class: "hint keys", hidden: true }, KEYS);
  private readonly list = h("div", { class: "scroller files" });
  private readonly says = h("div", { class: "sr", role: "status", "aria-live": "polite" });
  private readonly tray: Tray;
  private readonly panel: Panel;
  private readonly files = new Map<string, FileView>();
  private readonly busy = new Map<string, Verb>();
  private readonly paint = framed(() => this.draw());
  private readonly unlisten: () => void;
  private readonly watched: ResizeObserver;
  private wanted: Layout = remembered();
  private looked = "";

  constructor(chat: Chat, turnId: string) {
    this.chat = chat;
    this.turnId = turnId;
    this.panel = { chat, errors: this.errors, slices: new Slices(), layout: "unified", room: roomAtOnce(), decide: (verb, changes, hunks) => this.decide(verb, changes, hunks) };
    this.tray = new Tray(chat, this.errors);
    doing(this.applyAll, this.errors, () => this.decide("apply", this.changes().filter(isOpen)));
    doing(this.rejectAll, this.errors, () => this.decide("reject", this.changes().filter(isOpen)));
    this.flip.addEventListener("click", () => this.choose(this.wanted === "split" ? "unified" : "split"));
    const help = h("button", { type: "button", class: "bare", "aria-label": "Keys", title: "Keys", onclick: () => (this.keys.hidden = !this.keys.hidden) }, "?");
    const actions = h("span", { class: "actions" }, help, this.flip, this.rejectAll, this.applyAll);
    const head = h("header", { class: "header" }, h("span", { class: "who" }, this.title, this.sum), actions);
    this.element = h("section", { class: "panel changes", "aria-label": "Changes" }, head, this.keys, this.errors.element, this.list, this.tray.element, this.hint, this.says);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.unlisten = chat.listen((aspect) => this.heard(aspect));
    this.watched = new ResizeObserver(() => this.fit());
    this.watched.observe(this.element);
    this.draw();
  }

  close(): void {
    this.unlisten();
    this.watched.disconnect();
    this.paint.cancel();
    this.panel.slices.clear();
  }

  private heard(aspect: Aspect): void {
    if (aspect === "changes" || aspect === "state" || aspect === "previews") this.paint();
    if (aspect === "comments") {
      this.tray.draw();
      for (const file of this.files.values()) file.placeComments();
    }
  }

  private changes(): Change[] {
    return this.chat.changes.filter((change) => change.status !== "superseded" && (!this.turnId || change.turn_id === this.turnId));
  }

  private async decide(verb: Verb, changes: readonly Change[], hunks?: readonly string[]): Promise<void> {
    if (!changes.length) return;
    const at = this.hunks().indexOf(this.current()!);
    for (const change of changes) this.busy.set(change.id, verb);
    this.draw();
    try {
      await this.chat.decide(verb, changes.map((change) => change.id), hunks && { [changes[0]!.id]: hunks });
      setText(this.says, `${hunks ? plural(hunks.length, "hunk") : plural(changes.length, "file")} ${DONE[verb]}`);
    } finally {
      for (const change of changes) this.busy.delete(change.id);
      this.draw();
      if (at >= 0) this.focus(this.hunks()[at] ?? this.hunks().at(-1));
    }
  }

  // ---- what is seen

  private draw(refresh = false): void {
    const changes = this.changes();
    const open = changes.filter(isOpen);
    this.panel.room = roomAtOnce();
    this.head(changes, open);
    const groups = new Map<string, Change[]>();
    for (const change of changes) groups.set(change.path, [...(groups.get(change.path) ?? []), change]);
    for (const [path, view] of this.files) {
      if (groups.has(path)) continue;
      view.element.remove();
      this.files.delete(path);
    }
    for (const [index, [path, group]] of [...groups].entries()) {
      let view = this.files.get(path);
      if (!view) this.files.set(path, (view = new FileView(path, this.panel)));
      view.update(group, this.busy, refresh);
      if (this.list.children[index] !== view.element) this.list.insertBefore(view.element, this.list.children[index] ?? null);
    }
    this.list.hidden = groups.size === 0;
    this.tray.draw();
    this.look(open);
  }

  private head(changes: readonly Change[], open: readonly Change[]): void {
    const agents = [...new Set(changes.map((change) => change.agent).filter((agent) => agent != null))].map(agentLabel);
    setText(this.title, changes.length === 0 ? "No changes" : agents.length ? `Changes from ${agents.join(", ")}` : "Changes");
    const files = new Set(changes.map((change) => change.path)).size;
    this.sum.replaceChildren(...(files ? [plural(files, "file"), " ", stat(added(changes, "additions"), added(changes, "deletions"))] : []));
    const act = this.chat.canAct && open.length > 1;
    this.applyAll.hidden = this.rejectAll.hidden = !act;
    this.flip.hidden = files === 0;
    const path = this.chat.session?.path;
    this.hint.hidden = open.length === 0;
    setText(this.hint, `These edits are in the session's worktree. Apply writes them to ${path ?? "your checkout"}.`);
  }

  /** Asks what applying would do now, each time that something else is left to decide. */
  private look(open: readonly Change[]): void {
    const now = open.map((change) => `${change.id} ${change.hunks?.length}`).join();
    if (now === this.looked || !this.chat.live) return;
    this.looked = now;
    if (open.length) this.chat.preview().catch(() => (this.looked = ""));
  }

  // ---- the layout

  private choose(layout: Layout): void {
    this.wanted = layout;
    try {
      localStorage.setItem(LAYOUT, layout);
    } catch {
      // a page without storage forgets it
    }
    this.fit();
  }

  /** Side by side where that is wanted and there is room for it. */
  private fit(): void {
    const layout = this.wanted === "split" && this.element.clientWidth >= WIDE ? "split" : "unified";
    this.flip.setAttribute("aria-pressed", String(this.wanted === "split"));
    if (layout === this.panel.layout) return;
    this.panel.layout = layout;
    this.panel.slices.clear();
    this.draw(true);
  }

  // ---- the keyboard

  private readonly acts: Record<string, () => void> = {
    j: () => this.step(this.hunks(), 1),
    k: () => this.step(this.hunks(), -1),
    n: () => this.step(this.heads(), 1),
    p: () => this.step(this.heads(), -1),
    a: () => this.act("apply"),
    r: () => this.act("reject"),
    u: () => this.act("revert"),
    c: () => this.comment(),
    x: () => this.fileHere()?.toggle(),
    s: () => this.choose(this.wanted === "split" ? "unified" : "split"),
    "?": () => (this.keys.hidden = !this.keys.hidden),
    ArrowDown: () => this.moveLine(1),
    ArrowUp: () => this.moveLine(-1),
  };

  private key(event: KeyboardEvent): void {
    const act = this.acts[event.key];
    const typing = (event.target as Element).closest("textarea, input, select, pre");
    if (!act || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && !this.current()) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  private active(): Element | null {
    return (this.element.getRootNode() as ShadowRoot | Document).activeElement;
  }

  private current(): HTMLElement | null {
    return this.active()?.closest<HTMLElement>(".hunk") ?? null;
  }

  private fileHere(): FileView | undefined {
    const article = this.active()?.closest("article");
    return [...this.files.values()].find((file) => file.element === article);
  }

  private hunks(): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>(".hunk")].filter((one) => one.checkVisibility());
  }

  private heads(): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>(".file-head")];
  }

  /** Moves to the next or the one before, from wherever the focus is. */
  private step(places: readonly HTMLElement[], by: 1 | -1): void {
    const here = this.active();
    const inside = places.findIndex((one) => one === here || (one.classList.contains("hunk") && one.contains(here)));
    if (inside >= 0) return this.focus(places[inside + by]);
    const after = places.findIndex((one) => here && here.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
    this.focus(by === 1 ? places[Math.max(after, 0)] : places[(after < 0 ? places.length : after) - 1]);
  }

  private focus(element: HTMLElement | undefined): void {
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest" });
  }

  private act(verb: Verb): void {
    if (!this.chat.canAct) return;
    this.errors.show("");
    this.fileHere()?.decideHere(verb, this.current()?.dataset["hunk"]).catch((error: unknown) => this.errors.show(error));
  }

  private lines(): HTMLElement[] {
    return [...(this.current()?.querySelectorAll<HTMLElement>("tr:has([data-line])") ?? [])];
  }

  private moveLine(by: 1 | -1): void {
    const lines = this.lines();
    const at = lines.findIndex((line) => line.classList.contains("at"));
    const next = lines[at < 0 ? lines.indexOf(this.changedLine(lines)!) : Math.min(Math.max(at + by, 0), lines.length - 1)];
    lines[at]?.classList.remove("at");
    next?.classList.add("at");
    next?.scrollIntoView({ block: "nearest" });
  }

  /** The first line that came, or else that went. */
  private changedLine(lines: readonly HTMLElement[]): HTMLElement | undefined {
    const has = (tone: string) => lines.find((line) => line.matches(tone) || line.querySelector(tone));
    return has(".plus") ?? has(".minus") ?? lines[0];
  }

  private comment(): void {
    const lines = this.lines();
    const line = lines.find((one) => one.classList.contains("at")) ?? this.changedLine(lines);
    const cell = line?.querySelector<HTMLElement>("[data-side=new]") ?? line?.querySelector<HTMLElement>("[data-line]");
    if (cell) this.fileHere()?.comment(cell);
  }
}

function remembered(): Layout {
  try {
    return localStorage.getItem(LAYOUT) === "split" ? "split" : "unified";
  } catch {
    return "unified";
  }
}
