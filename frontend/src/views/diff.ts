/** The diff panel: what the agents changed, file by file, to apply to the checkout or to reject. */

import type { Aspect, Chat } from "../chat.ts";
import { button, framed, h, setText } from "../dom.ts";
import { agentIcon, agentLabel, icon, spinner } from "../icons.ts";
import { plural } from "../text.ts";
import type { Change, ChangeStatus } from "../wire.ts";
import { diffTable, doing, ErrorLine, pathName, stat } from "./pieces.ts";

const STATUS: Record<ChangeStatus, { label: string; tone: string; sign: string }> = {
  pending: { label: "", tone: "", sign: "" },
  applied: { label: "Applied", tone: "good", sign: "check" },
  rejected: { label: "Rejected", tone: "", sign: "cross" },
  reverted: { label: "Reverted", tone: "", sign: "clock" },
  superseded: { label: "Superseded", tone: "", sign: "clock" },
  conflict: { label: "Conflict", tone: "bad", sign: "warning" },
};
const LETTERS = { create: "New", edit: "", delete: "Deleted", rename: "Renamed" } as const;

type Verb = "apply" | "reject";
const DOING: Record<Verb, string> = { apply: "Applying …", reject: "Rejecting …" };

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
  private readonly applyAll: HTMLButtonElement;
  private readonly rejectAll: HTMLButtonElement;
  private readonly hint = h("div", { class: "hint worktree-hint" });
  private readonly list = h("div", { class: "scroller files" });
  private readonly says = h("div", { class: "sr", role: "status", "aria-live": "polite" });
  private readonly files = new Map<string, FileView>();
  private readonly busy = new Map<string, Verb>();
  private readonly paint = framed(() => this.draw());
  private readonly unlisten: () => void;

  constructor(chat: Chat, turnId: string) {
    this.chat = chat;
    this.turnId = turnId;
    this.applyAll = button("Apply all", { class: "primary" }, icon("check"));
    this.rejectAll = button("Reject all", { class: "quiet" }, icon("cross"));
    doing(this.applyAll, this.errors, () => this.decide("apply", this.open()));
    doing(this.rejectAll, this.errors, () => this.decide("reject", this.open()));
    const head = h("header", { class: "header" }, h("span", { class: "who" }, this.title, this.sum), h("span", { class: "actions" }, this.rejectAll, this.applyAll));
    this.element = h("section", { class: "panel changes", "aria-label": "Changes" }, head, this.errors.element, this.list, this.hint, this.says);
    this.unlisten = chat.listen((aspect) => this.heard(aspect));
    this.draw();
  }

  close(): void {
    this.unlisten();
    this.paint.cancel();
  }

  private heard(aspect: Aspect): void {
    if (aspect === "changes" || aspect === "state") this.paint();
  }

  private changes(): Change[] {
    return this.chat.changes.filter((change) => change.status !== "superseded" && (!this.turnId || change.turn_id === this.turnId));
  }

  private open(): Change[] {
    return this.changes().filter(isOpen);
  }

  private async decide(verb: Verb, changes: readonly Change[]): Promise<void> {
    if (!changes.length) return;
    for (const change of changes) this.busy.set(change.id, verb);
    this.draw();
    try {
      await this.chat.decide(verb, changes.map((change) => change.id));
      setText(this.says, `${plural(changes.length, "file")} ${verb === "apply" ? "applied" : "rejected"}`);
    } finally {
      for (const change of changes) this.busy.delete(change.id);
      this.draw();
    }
  }

  private draw(): void {
    const changes = this.changes();
    const open = changes.filter(isOpen);
    this.head(changes, open);
    const groups = new Map<string, Change[]>();
    for (const change of changes) groups.set(change.path, [...(groups.get(change.path) ?? []), change]);
    for (const [path, view] of this.files) {
      if (groups.has(path)) continue;
      view.element.remove();
      this.files.delete(path);
    }
    for (const [path, group] of groups) {
      let view = this.files.get(path);
      if (!view) this.files.set(path, (view = new FileView(path, this.errors, (verb, some) => this.decide(verb, some))));
      view.update(group, this.busy, this.chat.canAct);
      this.list.append(view.element);
    }
    this.list.hidden = groups.size === 0;
  }

  private head(changes: readonly Change[], open: readonly Change[]): void {
    const agents = [...new Set(changes.map((change) => change.agent).filter((agent) => agent != null))].map(agentLabel);
    setText(this.title, changes.length === 0 ? "No changes" : agents.length ? `Changes from ${agents.join(", ")}` : "Changes");
    const files = new Set(changes.map((change) => change.path)).size;
    this.sum.replaceChildren(...(files ? [plural(files, "file"), " ", stat(added(changes, "additions"), added(changes, "deletions"))] : []));
    const act = this.chat.canAct && open.length > 1;
    this.applyAll.hidden = this.rejectAll.hidden = !act;
    const path = this.chat.session?.path;
    this.hint.hidden = open.length === 0;
    setText(this.hint, `These edits are in the session's worktree. Apply writes them to ${path ?? "your checkout"}.`);
  }
}

function isOpen(change: Change): boolean {
  return change.status === undefined || change.status === "pending" || change.status === "conflict";
}

function added(changes: readonly Change[], what: "additions" | "deletions"): number | null {
  const known = changes.map((change) => change[what]).filter((value) => value != null);
  return known.length ? known.reduce((a, b) => a + b, 0) : null;
}

/** One file: who changed it and how, its diff, and what was decided. */
class FileView {
  readonly element: HTMLElement;
  private readonly head: HTMLButtonElement;
  private readonly facts = h("span", { class: "file-facts" });
  private readonly agents = h("span", { class: "badges" });
  private readonly status = h("span", { class: "change-status" });
  private readonly note = h("div", { class: "note", hidden: true });
  private readonly body = h("div", { class: "file-body" });
  private readonly apply: HTMLButtonElement;
  private readonly reject: HTMLButtonElement;
  private changes: readonly Change[] = [];
  private shown = "";
  private decided = false;

  constructor(path: string, errors: ErrorLine, decide: (verb: Verb, changes: readonly Change[]) => Promise<void>) {
    this.apply = button("Apply", { "aria-label": `Apply ${path}` });
    this.reject = button("Reject", { class: "quiet", "aria-label": `Reject ${path}` });
    doing(this.apply, errors, () => decide("apply", this.changes.filter(isOpen)));
    doing(this.reject, errors, () => decide("reject", this.changes.filter(isOpen)));
    this.head = h("button", { type: "button", class: "file-head", "aria-expanded": "true" }, icon("chevron"), pathName(path), this.facts, this.agents, this.status);
    this.head.addEventListener("click", () => this.unfold(this.body.hidden));
    const actions = h("span", { class: "actions" }, this.reject, this.apply);
    this.element = h("article", { class: "file-change" }, h("div", { class: "file-bar" }, this.head, actions), this.note, this.body);
  }

  private unfold(open: boolean): void {
    this.body.hidden = !open;
    this.head.setAttribute("aria-expanded", String(open));
  }

  update(changes: readonly Change[], busy: ReadonlyMap<string, Verb>, canAct: boolean): void {
    this.changes = changes;
    const last = changes.at(-1)!;
    const open = changes.some(isOpen);
    const verb = changes.map((change) => busy.get(change.id)).find(Boolean);
    this.apply.hidden = this.reject.hidden = !open || !canAct;
    this.apply.disabled = this.reject.disabled = verb !== undefined;
    this.showStatus(verb, last.status ?? "pending");
    const notes = changes.map((change) => change.note).filter(Boolean);
    this.note.hidden = notes.length === 0;
    this.note.className = `note ${last.status === "conflict" ? "bad" : "warn"}`;
    this.note.replaceChildren(icon("warning"), h("span", {}, notes.join(" ")));
    this.element.dataset["status"] = last.status ?? "pending";
    if (!open && !this.decided) this.unfold(false);
    this.decided = !open;
    const now = JSON.stringify(changes.map((change) => [change.id, change.hunks, change.operation, change.agent]));
    if (now !== this.shown) {
      this.shown = now;
      this.fill(changes);
    }
  }

  private showStatus(verb: Verb | undefined, status: ChangeStatus): void {
    const { label, tone, sign } = STATUS[status];
    this.status.className = `change-status ${verb ? "accent" : tone}`;
    this.status.replaceChildren(...(verb ? [spinner(), h("span", {}, DOING[verb])] : label ? [icon(sign), h("span", {}, label)] : []));
  }

  private fill(changes: readonly Change[]): void {
    const agents = [...new Set(changes.map((change) => change.agent).filter((agent) => agent != null))];
    this.agents.replaceChildren(...agents.map((agent) => h("span", { class: "badge", title: `Changed by ${agentLabel(agent)}` }, agentIcon(agent), h("span", {}, agentLabel(agent)))));
    const last = changes.at(-1)!;
    const operation = LETTERS[last.operation];
    this.facts.replaceChildren(
      ...(operation ? [h("span", { class: `tag ${last.operation === "delete" ? "bad" : last.operation === "create" ? "good" : ""}` }, operation)] : []),
      stat(added(changes, "additions"), added(changes, "deletions")),
    );
    this.body.replaceChildren(...changes.flatMap((change) => this.parts(change)));
  }

  private parts(change: Change): Node[] {
    const parts: Node[] = [];
    const facts = [
      change.old_path && change.old_path !== change.path ? `Renamed from ${change.old_path}.` : "",
      change.binary ? "A binary file; its content is not shown." : "",
      change.old_mode && change.new_mode && change.old_mode !== change.new_mode ? `Mode ${change.old_mode} → ${change.new_mode}.` : "",
    ].filter(Boolean);
    if (facts.length) parts.push(h("div", { class: "file-note muted" }, facts.join(" ")));
    if (change.hunks?.length) parts.push(diffTable(change.hunks, change.path));
    else if (!facts.length) parts.push(h("div", { class: "file-note muted" }, "An empty file."));
    return parts;
  }
}
