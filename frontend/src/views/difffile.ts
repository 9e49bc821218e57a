/** One changed file of the diff panel: who changed it and how, what is left to decide of it, and what was decided. */

import type { Chat, Verb } from "../chat.ts";
import { button, h } from "../dom.ts";
import { agentIcon, agentLabel, icon, spinner } from "../icons.ts";
import { plural } from "../text.ts";
import type { Change, ChangeStatus, Hunk } from "../wire.ts";
import { CommentBox, commentRow } from "./diffcomments.ts";
import { clashView, endOf, factsOf, IMAGE, showImage, startOf } from "./diffparts.ts";
import { fold, hunkRows, type Layout, rangeOf, sameRows, type Slices } from "./difftable.ts";
import { doing, ErrorLine, pathName, stat } from "./pieces.ts";

const STATUS: Record<ChangeStatus, { label: string; tone: string; sign: string }> = {
  pending: { label: "", tone: "", sign: "" },
  applied: { label: "Applied", tone: "good", sign: "check" },
  rejected: { label: "Rejected", tone: "", sign: "cross" },
  reverted: { label: "Undone", tone: "", sign: "clock" },
  superseded: { label: "Superseded", tone: "", sign: "clock" },
  conflict: { label: "Conflict", tone: "bad", sign: "warning" },
};
const OPERATIONS = { create: "New", edit: "", delete: "Deleted", rename: "Renamed" } as const;
const DOING: Record<Verb, string> = { apply: "Applying …", reject: "Rejecting …", revert: "Undoing …" };

export type Decide = (verb: Verb, changes: readonly Change[], hunks?: readonly string[]) => Promise<void>;

/** What all files of a panel share. */
export interface Panel {
  readonly chat: Chat;
  readonly errors: ErrorLine;
  readonly slices: Slices;
  readonly decide: Decide;
  layout: Layout;
  /** How many lines are still drawn before anything else is. */
  room: { lines: number };
}

export function isOpen(change: Change): boolean {
  return change.status === undefined || change.status === "pending" || change.status === "conflict";
}

export function added(changes: readonly Change[], what: "additions" | "deletions"): number | null {
  const known = changes.map((change) => change[what]).filter((value) => value != null);
  return known.length ? known.reduce((a, b) => a + b, 0) : null;
}

/** Whether some hunks of a change can be decided without the others. */
function isDivisible(change: Change): boolean {
  const links = [change.old_mode, change.new_mode].some((mode) => mode === "120000" || mode === "160000");
  const hunks = change.hunks ?? [];
  return hunks.length > 1 && hunks.every((hunk) => hunk.id) && !change.binary && !links && (change.operation === "edit" || change.operation === "rename");
}

export class FileView {
  readonly element: HTMLElement;
  private readonly panel: Panel;
  private readonly path: string;
  private readonly head: HTMLButtonElement;
  private readonly facts = h("span", { class: "file-facts" });
  private readonly agents = h("span", { class: "badges" });
  private readonly status = h("span", { class: "change-status" });
  private readonly note = h("div", { class: "note", hidden: true });
  private readonly clashes = h("div", { class: "clashes", hidden: true });
  private readonly body = h("div", { class: "file-body" });
  private readonly buttons: Record<Verb, HTMLButtonElement>;
  private changes: readonly Change[] = [];
  private shown = "";
  private decided = false;
  private asJson = false;

  constructor(path: string, panel: Panel) {
    this.panel = panel;
    this.path = path;
    this.buttons = {
      apply: button("Apply", { "aria-label": `Apply ${path}` }),
      reject: button("Reject", { class: "quiet", "aria-label": `Reject ${path}` }),
      revert: button("Undo", { class: "quiet", "aria-label": `Undo ${path}` }),
    };
    for (const verb of Object.keys(this.buttons) as Verb[]) doing(this.buttons[verb], panel.errors, () => this.decideAll(verb));
    this.head = h("button", { type: "button", class: "file-head", "aria-expanded": "true" }, icon("chevron"), pathName(path), this.facts, this.agents, this.status);
    this.head.addEventListener("click", () => this.toggle());
    const actions = h("span", { class: "actions" }, this.buttons.revert, this.buttons.reject, this.buttons.apply);
    this.element = h("article", { class: "file-change", "aria-label": path }, h("div", { class: "file-bar" }, this.head, actions), this.note, this.clashes, this.body);
    this.body.addEventListener("click", (event) => this.clicked(event));
  }

  toggle(open = this.body.hidden): void {
    this.body.hidden = !open;
    this.clashes.hidden = !open || !this.clashes.hasChildNodes();
    this.head.setAttribute("aria-expanded", String(open));
  }

  /** Decides what of the file can be: the hunk that is meant, or else all of it. */
  async decideHere(verb: Verb, hunk: string | undefined): Promise<void> {
    const change = hunk && verb !== "revert" ? this.changes.find((one) => isOpen(one) && isDivisible(one) && one.hunks?.some((known) => known.id === hunk)) : undefined;
    if (change) await this.panel.decide(verb, [change], [hunk!]);
    else await this.decideAll(verb);
  }

  private decideAll(verb: Verb): Promise<void> {
    return this.panel.decide(verb, this.changes.filter((change) => (verb === "revert" ? change.status === "applied" : isOpen(change))));
  }

  update(changes: readonly Change[], busy: ReadonlyMap<string, Verb>, refresh: boolean): void {
    this.changes = [...changes.filter(isOpen), ...changes.filter((change) => !isOpen(change))];
    const first = this.changes[0]!;
    const open = isOpen(first);
    const verb = changes.map((change) => busy.get(change.id)).find(Boolean);
    const canAct = this.panel.chat.canAct;
    this.buttons.apply.hidden = this.buttons.reject.hidden = !open || !canAct;
    this.buttons.revert.hidden = !canAct || !changes.some((change) => change.status === "applied");
    for (const one of Object.values(this.buttons)) one.disabled = verb !== undefined;
    this.showStatus(verb, open ? (first.status ?? "pending") : (changes.at(-1)!.status ?? "pending"));
    this.showNotes(changes);
    this.element.dataset["status"] = first.status ?? "pending";
    if (!open && !this.decided) this.toggle(false);
    if (open && this.decided) this.toggle(true);
    this.decided = !open;
    const now = JSON.stringify(changes.map((change) => [change.id, change.status, change.hunks, change.operation, change.agent]));
    if (now === this.shown && !refresh) return;
    this.shown = now;
    this.fill();
  }

  private showStatus(verb: Verb | undefined, status: ChangeStatus): void {
    const { label, tone, sign } = STATUS[status];
    this.status.className = `change-status ${verb ? "accent" : tone}`;
    this.status.replaceChildren(...(verb ? [spinner(), h("span", {}, DOING[verb])] : label ? [icon(sign), h("span", {}, label)] : []));
  }

  private showNotes(changes: readonly Change[]): void {
    const previews = changes.filter(isOpen).map((change) => this.panel.chat.previews.get(change.id));
    const clashes = previews.flatMap((preview) => preview?.clashes ?? []);
    const said = changes.map((change) => (isOpen(change) || change.status === "applied" ? change.note : ""));
    const notes = [...new Set([...said, ...previews.map((preview) => preview?.note)])].filter(Boolean);
    const bad = changes.some((change) => change.status === "conflict") || previews.some((preview) => preview?.outcome === "conflict");
    const warn = bad || changes.some((change) => isOpen(change) && change.note);
    this.note.hidden = notes.length === 0;
    this.note.className = `note ${bad ? "bad" : warn ? "warn" : "quiet"}`;
    this.note.replaceChildren(icon(warn ? "warning" : "info"), h("span", {}, notes.join(" ")));
    this.clashes.replaceChildren(...clashes.map(clashView));
    this.clashes.hidden = clashes.length === 0 || this.body.hidden;
  }

  private fill(): void {
    const agents = [...new Set(this.changes.map((change) => change.agent).filter((agent) => agent != null))];
    this.agents.replaceChildren(...agents.map((agent) => h("span", { class: "badge", title: `Changed by ${agentLabel(agent)}` }, agentIcon(agent), h("span", {}, agentLabel(agent)))));
    const first = this.changes[0]!;
    const operation = OPERATIONS[first.operation];
    const tone = first.operation === "delete" ? "bad" : first.operation === "create" ? "good" : "";
    this.facts.replaceChildren(...(operation ? [h("span", { class: `tag ${tone}` }, operation)] : []), stat(added(this.changes, "additions") || null, added(this.changes, "deletions") || null));
    const several = this.changes.length > 1;
    this.body.replaceChildren(...this.changes.map((change) => (several && !isOpen(change) ? this.decidedPart(change) : this.part(change))));
    this.panel.slices.add(() => this.placeComments());
  }

  /** Hunks that were decided while others were left. */
  private decidedPart(change: Change): HTMLElement {
    const status = change.status ?? "pending";
    const words = `${plural(change.hunks?.length ?? 0, "hunk")} ${STATUS[status].label.toLowerCase()}`;
    const undo = button("Undo", { class: "quiet", "aria-label": `Undo ${words} of ${this.path}` });
    doing(undo, this.panel.errors, () => this.panel.decide("revert", [change]));
    undo.hidden = status !== "applied" || !this.panel.chat.canAct;
    const summary = h("summary", {}, icon("chevron"), icon(STATUS[status].sign), h("span", { class: STATUS[status].tone }, words), stat(change.additions, change.deletions));
    const details = h("details", { class: "decided" }, summary);
    details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(this.part(change)));
    return h("div", { class: "decided-part" }, details, undo);
  }

  private part(change: Change): HTMLElement {
    const part = h("div", { class: "part", "data-change": change.id });
    const facts = factsOf(change);
    if (facts) part.append(h("div", { class: "file-note muted" }, facts));
    const image = change.binary === true && IMAGE.test(change.path);
    if (image) part.append(this.panel.chat.live ? this.images(change) : h("div", { class: "file-note muted" }, "An image; it is shown while the chat can be reached."));
    const cells = change.cells && !this.asJson ? change.cells : null;
    if (change.cells) part.append(this.jsonSwitch());
    if (cells) part.append(this.cells(change));
    else if (change.hunks?.length) part.append(this.hunks(change));
    else if (!facts && !image) part.append(h("div", { class: "file-note muted" }, "An empty file."));
    return part;
  }

  private hunks(change: Change): HTMLElement {
    const { layout, slices } = this.panel;
    const frame = h("div", { class: "diff", role: "region", "aria-label": `Diff of ${change.path}` });
    const { room } = this.panel;
    const hunks = change.hunks ?? [];
    for (const [index, hunk] of hunks.entries()) {
      const gap = this.gap(change, hunks[index - 1], hunk);
      const name = `hunk ${index + 1} of ${hunks.length} of ${change.path}`;
      const bar = this.hunkBar(change, hunk, name);
      const rows = hunkRows(hunk, change.path, layout, slices, room);
      frame.append(...(gap ? [gap] : []), h("section", { class: "hunk", tabindex: -1, "data-hunk": hunk.id ?? "", "aria-label": name }, bar, rows));
    }
    const end = this.gap(change, hunks.at(-1), undefined);
    if (end) frame.append(end);
    return frame;
  }

  private hunkBar(change: Change, hunk: Hunk, name: string): HTMLElement {
    const bar = h("div", { class: "range" }, h("span", {}, rangeOf(hunk)));
    if (!isOpen(change) || !isDivisible(change) || !this.panel.chat.canAct) return bar;
    const actions = (["reject", "apply"] as const).map((verb) => {
      const label = verb === "apply" ? "Apply" : "Reject";
      const one = button(label, { class: "small quiet", "aria-label": `${label} ${name}` });
      doing(one, this.panel.errors, () => this.panel.decide(verb, [change], [hunk.id!]));
      return one;
    });
    bar.append(h("span", { class: "actions" }, ...actions));
    return bar;
  }

  /** The unchanged lines between two hunks, or before the first and after the last, folded. */
  private gap(change: Change, before: Hunk | undefined, after: Hunk | undefined): HTMLElement | null {
    if (!this.panel.chat.live || change.operation === "create" || change.operation === "delete") return null;
    const [old, fresh] = before ? [endOf(before.old_start, before.old_lines), endOf(before.new_start, before.new_lines)] : [1, 1];
    const lines = after ? startOf(after.new_start, after.new_lines) - fresh : null;
    if (lines === 0) return null;
    return fold(lines === null ? "Show the lines below" : `Show ${plural(lines, "unchanged line")}`, async () => {
      const text = (await this.panel.chat.content(change.id, "new")).text ?? "";
      const all = text.replace(/\n$/, "").split("\n");
      const some = all.slice(fresh - 1, lines === null ? undefined : fresh - 1 + lines);
      return some.length ? sameRows(some, old, fresh, change.path, this.panel.layout, this.panel.slices) : h("div", { class: "fold muted" }, "The file ends here.");
    });
  }

  private cells(change: Change): HTMLElement {
    const frame = h("div", { class: "diff cells", role: "region", "aria-label": `Diff of ${change.path}` });
    const { room } = this.panel;
    for (const cell of change.cells!) {
      const kind = { create: "New", edit: "Changed", delete: "Deleted" }[cell.operation];
      const bar = h("div", { class: "range" }, h("span", {}, `${kind} ${cell.cell_type} cell ${cell.number}`), h("span", { class: "muted" }, cell.note ?? ""));
      const language = cell.cell_type === "markdown" ? "cell.md" : "cell.py";
      const rows = (cell.hunks ?? []).map((hunk) => hunkRows(hunk, language, this.panel.layout, this.panel.slices, room));
      frame.append(h("section", { class: `hunk cell ${cell.operation}`, tabindex: -1, "data-hunk": "", "aria-label": `cell ${cell.number}` }, bar, ...rows));
    }
    if (!change.cells!.length) frame.append(h("div", { class: "file-note muted" }, "No cell changed; what did is shown as JSON."));
    return frame;
  }

  private jsonSwitch(): HTMLElement {
    const flip = button(this.asJson ? "Show cells" : "Show as JSON", { class: "link" });
    flip.addEventListener("click", () => {
      this.asJson = !this.asJson;
      this.fill();
    });
    return h("div", { class: "file-note" }, flip);
  }

  private images(change: Change): HTMLElement {
    const frame = h("div", { class: "images" });
    const sides = [change.operation === "create" ? null : "old", change.operation === "delete" ? null : "new"] as const;
    for (const side of sides) {
      if (!side) continue;
      const figure = h("figure", {}, h("figcaption", { class: "muted" }, side === "old" ? "Before" : "After"));
      frame.append(figure);
      this.panel.chat.content(change.id, side).then(
        (content) => showImage(figure, content, change.path),
        (error: unknown) => figure.append(h("div", { class: "muted" }, String(error instanceof Error ? error.message : error))),
      );
    }
    return frame;
  }

  private clicked(event: Event): void {
    const cell = (event.target as Element).closest<HTMLElement>("td.number[data-line]");
    if (cell) this.comment(cell);
  }

  /** Opens the box for a comment below a line, given by the cell of its number. */
  comment(cell: HTMLElement): void {
    if (!this.panel.chat.canAct) return;
    const row = cell.closest("tr")!;
    const old = cell.dataset["side"] === "old";
    const code = row.cells[old && row.closest("table")!.classList.contains("split") ? 1 : 3];
    const about = { path: this.path, line: Number(cell.dataset["line"]), old, quoted: code?.textContent ?? "", agent: this.changes[0]?.agent ?? null };
    new CommentBox(this.panel.chat, about).openBelow(row);
  }

  /** Puts the comments that are not sent yet below their lines. */
  placeComments(): void {
    for (const row of this.body.querySelectorAll("tr.said")) row.remove();
    for (const comment of this.panel.chat.comments.filter((one) => one.path === this.path)) {
      const place = `[data-side="${comment.old ? "old" : "new"}"][data-line="${comment.line}"]`;
      this.body.querySelector(`td.number${place}`)?.closest("tr")?.after(commentRow(this.panel.chat, comment));
    }
  }
}
