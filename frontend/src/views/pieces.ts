/** Pieces that several views show: code, diffs, values, a chat's state. */

import { structuredPatch } from "diff";
import { button, h, plainText } from "../dom.ts";
import { icon } from "../icons.ts";
import { plural, printed } from "../text.ts";
import type { FileDiff, Hunk } from "../wire.ts";

const SHOWN_CHARS = 12_000;

/** Output as it came, without what is told to a terminal; what is long is cut, with a button that shows the rest. */
export function output(said: string): HTMLElement {
  const text = printed(said);
  const pre = h("pre", { class: "output", tabindex: 0 });
  if (text.length <= SHOWN_CHARS * 1.2) {
    pre.append(text);
    return pre;
  }
  pre.append(text.slice(0, SHOWN_CHARS));
  const more = button(`Show all ${plural(text.length, "character")}`, {
    class: "link",
    onclick: () => {
      pre.textContent = text;
      more.remove();
      pre.focus();
    },
  });
  return h("div", {}, pre, more);
}

/** A tool's whole input, in which nothing can hide: a command as such, everything else as JSON. */
export function inputValue(input: unknown): HTMLElement | null {
  if (input == null || (typeof input === "object" && Object.keys(input).length === 0)) return null;
  if (typeof input === "string") return exact(input);
  if (typeof input !== "object" || Array.isArray(input)) return exact(JSON.stringify(input, null, 2));
  const { command, ...rest } = input as Record<string, unknown>;
  if (typeof command !== "string") return fields(input as Record<string, unknown>);
  const others = Object.keys(rest).length ? fields(rest) : null;
  return others ? h("div", { class: "values" }, exact(command, "command"), others) : exact(command, "command");
}

function fields(values: Record<string, unknown>): HTMLElement {
  const list = h("dl", { class: "fields" });
  for (const [name, value] of Object.entries(values)) {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const term = h("dt");
    term.append(plainText(name));
    list.append(term, h("dd", {}, exact(text ?? "null", text?.includes("\n") ? "" : "inline")));
  }
  return list;
}

function exact(text: string, extra = ""): HTMLElement {
  const pre = h("pre", { class: `exact ${extra}`, dir: "ltr", tabindex: text.length > 400 ? 0 : null });
  pre.append(plainText(text));
  return pre;
}

export function hunksOf(diff: FileDiff): Hunk[] {
  const patch = structuredPatch("a", "b", diff.old ?? "", diff.new ?? "", "", "", { context: 3, timeout: 500 });
  if (!patch) {
    const lines = (text: string, sign: string) => (text ? text.replace(/\n$/, "").split("\n").map((line) => sign + line) : []);
    const removed = lines(diff.old ?? "", "-");
    const added = lines(diff.new ?? "", "+");
    return [{ old_start: 1, old_lines: removed.length, new_start: 1, new_lines: added.length, lines: [...removed, ...added] }];
  }
  return patch.hunks.map((hunk) => ({
    old_start: hunk.oldStart,
    old_lines: hunk.oldLines,
    new_start: hunk.newStart,
    new_lines: hunk.newLines,
    lines: hunk.lines,
  }));
}

export function countLines(hunks: readonly Hunk[]): { additions: number; deletions: number } {
  let additions = 0;
  let deletions = 0;
  for (const line of hunks.flatMap((hunk) => hunk.lines)) {
    if (line.startsWith("+")) additions++;
    else if (line.startsWith("-")) deletions++;
  }
  return { additions, deletions };
}

/** How many lines came and went; what is not known, and a zero beside a number, is left out. */
export function stat(additions: number | null | undefined, deletions: number | null | undefined): HTMLElement {
  return h(
    "span",
    { class: "stat" },
    additions == null || (additions === 0 && deletions) ? null : h("span", { class: "added", "aria-label": plural(additions, "line added", "lines added") }, `+${additions}`),
    deletions == null || (deletions === 0 && additions) ? null : h("span", { class: "removed", "aria-label": plural(deletions, "line removed", "lines removed") }, `−${deletions}`),
  );
}

/** A path whose last part stands out, and whose folders give way first where there is no room. */
export function pathName(path: string): HTMLElement {
  const cut = path.lastIndexOf("/") + 1;
  const element = h("span", { class: "path", title: path });
  if (cut > 0) element.append(h("span", { class: "folder" }, plainText(path.slice(0, cut))));
  element.append(h("span", { class: "file" }, plainText(path.slice(cut))));
  return element;
}

/** A failure in words, where it happened; an empty message hides it. */
export class ErrorLine {
  readonly element: HTMLElement = h("div", { class: "error-line", role: "alert", hidden: true });

  show(error: unknown): void {
    const message = error instanceof Error ? error.message : typeof error === "string" ? error : "";
    this.element.hidden = message === "";
    this.element.replaceChildren(...(message ? [icon("warning"), h("span", {}, message)] : []));
  }
}

/** Does something when a button is pressed, once at a time, and shows what went wrong. */
export function doing(target: HTMLButtonElement, errors: ErrorLine, work: () => Promise<unknown>): void {
  target.addEventListener("click", () => {
    if (target.getAttribute("aria-disabled") === "true") return;
    target.setAttribute("aria-disabled", "true");
    errors.show("");
    work()
      .catch((error: unknown) => errors.show(error))
      .finally(() => target.removeAttribute("aria-disabled"));
  });
}
