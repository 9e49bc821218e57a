/** A diff as tables: unified or side by side, coloured by language and by word, filled in slices that stutter nothing. */

import { button, h, plainText } from "../dom.ts";
import { type Line, linesOf, pairsOf } from "../difflines.ts";
import { highlightLines, languageOf } from "../markdown.ts";
import { revealed } from "../text.ts";
import type { Hunk } from "../wire.ts";

export type Layout = "unified" | "split";
const AT_ONCE = 300;
const CHUNK = 100;
/** How long, in milliseconds, the page waits for one slice. */
const SLICE = 8;
const LINE = 20;

/** Work that is done a few milliseconds at a time, in order, until nobody needs it any more. */
export class Slices {
  private readonly waiting: (() => void)[] = [];
  private timer = 0;

  add(work: () => void): void {
    this.waiting.push(work);
    this.timer ||= window.setTimeout(this.run);
  }

  clear(): void {
    clearTimeout(this.timer);
    this.timer = this.waiting.length = 0;
  }

  private readonly run = (): void => {
    const until = performance.now() + SLICE;
    while (this.waiting.length && performance.now() < until) this.waiting.shift()!();
    this.timer = this.waiting.length ? window.setTimeout(this.run) : 0;
  };
}

/** The rows of one hunk; what does not fit into the `room` comes later, by `slices`. */
export function hunkRows(hunk: Hunk, path: string, layout: Layout, slices: Slices, room: { lines: number }): HTMLElement {
  const element = h("div", { class: "hunk-lines" });
  const lines = linesOf(hunk);
  const colours = coloursOf(lines, languageOf(path));
  const cells = lines.map((line, index) => () => codeCell(line, colours()[index]!));
  const pairs = layout === "split" ? pairsOf(lines) : lines.map((_, index) => [index, index] as const);
  for (let from = 0; from < pairs.length; from += CHUNK) {
    const some = pairs.slice(from, from + CHUNK);
    const chunk = h("div", { class: pairs.length > CHUNK ? "lines" : "" });
    chunk.style.setProperty("contain-intrinsic-size", `auto ${some.length * LINE}px`);
    element.append(chunk);
    const fill = () => chunk.append(table(layout, some.map(([left, right]) => row(layout, lines, cells, left, right))));
    if (room.lines > 0) fill();
    else slices.add(fill);
    room.lines -= some.length;
  }
  return element;
}

/** A diff that is only looked at. */
export function diffTable(hunks: readonly Hunk[], path: string): HTMLElement {
  const frame = h("div", { class: "diff", tabindex: 0, role: "region", "aria-label": `Diff of ${path}` });
  const slices = new Slices();
  const room = { lines: AT_ONCE };
  for (const [index, hunk] of hunks.entries()) {
    if (index > 0 || hunk.old_start > 1) frame.append(h("div", { class: "range" }, h("span", {}, rangeOf(hunk))));
    frame.append(hunkRows(hunk, path, "unified", slices, room));
  }
  return frame;
}

export function rangeOf(hunk: Hunk): string {
  return `@@ −${hunk.old_start},${hunk.old_lines} +${hunk.new_start},${hunk.new_lines} @@`;
}

/** How many lines of a panel are drawn before anything else is. */
export function roomAtOnce(): { lines: number } {
  return { lines: AT_ONCE };
}

function table(layout: Layout, rows: HTMLElement[]): HTMLElement {
  const widths = layout === "split" ? ["number", "half", "number", "half"] : ["number", "number", "sign", "code"];
  return h("table", { class: layout, role: "presentation" }, h("colgroup", {}, ...widths.map((name) => h("col", { class: `col-${name}` }))), h("tbody", {}, ...rows));
}

function row(layout: Layout, lines: readonly Line[], cells: readonly (() => HTMLElement)[], left: number | null, right: number | null): HTMLElement {
  const line = lines[(left ?? right)!]!;
  if (line.sign === "\\") return h("tr", { class: "note" }, h("td", { colspan: 4 }, line.text));
  if (layout === "unified") {
    const sign = line.sign === "-" ? "−" : line.sign;
    return h("tr", { class: tone(line) }, number(line.old, "old"), number(line.new, "new"), h("td", { class: "sign" }, sign), cells[left!]!());
  }
  const half = (index: number | null, side: "old" | "new") => {
    if (index === null) return [h("td", { class: "number none" }), h("td", { class: "code none" })];
    const kind = tone(lines[index]!);
    const [place, code] = [number(lines[index]![side], side), cells[index]!()];
    place.classList.toggle(kind || "same", true);
    code.classList.toggle(kind || "same", true);
    return [place, code];
  };
  return h("tr", {}, ...half(left, "old"), ...half(right, "new"));
}

function tone(line: Line): string {
  return line.sign === "+" ? "plus" : line.sign === "-" ? "minus" : "";
}

function number(value: number | null, side: "old" | "new"): HTMLElement {
  return value === null ? h("td", { class: "number" }) : h("td", { class: "number", "data-side": side, "data-line": value }, String(value));
}

function codeCell(line: Line, colours: string): HTMLElement {
  const code = h("td", { class: "code" });
  if (revealed(line.text).some((part) => part.code)) {
    code.append(plainText(line.text));
    return code;
  }
  code.innerHTML = colours; // our own escaping and spans, never the text as it came
  for (const [from, to] of line.marks) mark(code, from, to);
  return code;
}

/** The colours of all lines, each side of the hunk read as one text, once somebody asks. */
function coloursOf(lines: readonly Line[], language: string | undefined): () => string[] {
  let known: string[] | undefined;
  return () => {
    if (known) return known;
    known = Array<string>(lines.length).fill("");
    for (const other of ["+", "-"]) {
      const indices = [...lines.keys()].filter((index) => lines[index]!.sign !== other && lines[index]!.sign !== "\\");
      const html = highlightLines(indices.map((index) => lines[index]!.text), language);
      for (const [n, index] of indices.entries()) known[index] = html[n]!;
    }
    return known;
  };
}

/** Marks a stretch of an element's text, given in code points. */
function mark(element: HTMLElement, from: number, to: number): void {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found: [Text, number, number][] = [];
  let at = 0;
  for (let node = walker.nextNode() as Text | null; node && at < to; node = walker.nextNode() as Text | null) {
    const units = [...node.data];
    const [start, end] = [Math.max(from - at, 0), Math.min(to - at, units.length)];
    if (start < end) found.push([node, units.slice(0, start).join("").length, units.slice(0, end).join("").length]);
    at += units.length;
  }
  for (const [node, start, end] of found) {
    const marked = start > 0 ? node.splitText(start) : node;
    if (end - start < marked.length) marked.splitText(end - start);
    const around = h("mark");
    marked.replaceWith(around);
    around.append(marked);
  }
}

/** Unchanged lines between hunks, folded; they are fetched when somebody unfolds them. */
export function fold(label: string, unfold: () => Promise<Node>): HTMLElement {
  const more = button(label, { class: "link expand" });
  const element = h("div", { class: "fold" }, more);
  more.addEventListener("click", () => {
    more.disabled = true;
    unfold().then(
      (lines) => element.replaceWith(lines),
      (error: unknown) => {
        more.disabled = false;
        element.title = error instanceof Error ? error.message : String(error);
      },
    );
  });
  return element;
}

/** Unchanged lines as rows. */
export function sameRows(lines: readonly string[], old: number, fresh: number, path: string, layout: Layout, slices: Slices): HTMLElement {
  const hunk = { old_start: old, old_lines: lines.length, new_start: fresh, new_lines: lines.length, lines: lines.map((line) => ` ${line}`) };
  return hunkRows(hunk, path, layout, slices, roomAtOnce());
}
