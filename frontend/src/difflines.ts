/**
 * The lines of a hunk as they are shown: numbered, side by side, with the words that differ.
 *
 * The twin of `coder_nb/widgets/difflines.py`; `tests/golden/difflines.json` holds both to the same answers.
 */

import type { Hunk } from "./wire.ts";

export interface Line {
  readonly sign: " " | "-" | "+" | "\\";
  readonly text: string;
  readonly old: number | null;
  readonly new: number | null;
  /** Stretches, from and to, in code points. */
  readonly marks: readonly (readonly [number, number])[];
}

export type Pair = readonly [number | null, number | null];
type Marks = Line["marks"];

const MOST_PAIRS = 40_000;
const WORD = /[\p{L}\p{N}_]+|[ \t]+|./gsu;

/** A hunk's lines with their numbers, and with marks where a line took another one's place. */
export function linesOf(hunk: Hunk): Line[] {
  const crlf = hunk.lines.every((line) => line.endsWith("\r") || line.startsWith("\\"));
  let before = hunk.old_start;
  let after = hunk.new_start;
  const lines = hunk.lines.map((line): Line => {
    const sign = (line[0] ?? " ") as Line["sign"];
    if (sign === "\\") return { sign, text: line.slice(1).trim(), old: null, new: null, marks: [] };
    const text = crlf ? line.slice(1, -1) : line.slice(1);
    return { sign, text, old: sign === "+" ? null : before++, new: sign === "-" ? null : after++, marks: [] };
  });
  for (const [gone, come] of runsOf(lines)) {
    for (let n = 0; n < Math.min(gone.length, come.length); n++) {
      const [old, fresh] = [lines[gone[n]!]!, lines[come[n]!]!];
      const [left, right] = wordMarks(old.text, fresh.text);
      lines[gone[n]!] = { ...old, marks: left };
      lines[come[n]!] = { ...fresh, marks: right };
    }
  }
  return lines;
}

/** Lines that went and those that came in their place, by their indices. */
function runsOf(lines: readonly Line[]): [number[], number[]][] {
  const runs: [number[], number[]][] = [];
  let last = " ";
  for (const [index, { sign }] of lines.entries()) {
    if (sign === "-") {
      if (last !== "-") runs.push([[], []]);
      runs.at(-1)![0].push(index);
    } else if (sign === "+") {
      if (last === " ") runs.push([[], []]);
      runs.at(-1)![1].push(index);
    }
    if (sign !== "\\") last = sign;
  }
  return runs;
}

/** The lines side by side, by their indices: what went and what came in its place in one row. */
export function pairsOf(lines: readonly Line[]): Pair[] {
  const runs = new Map(runsOf(lines).map(([gone, come]) => [Math.min(...gone.slice(0, 1), ...come.slice(0, 1)), { gone, come }]));
  const pairs: Pair[] = [];
  for (const [index, { sign }] of lines.entries()) {
    const run = runs.get(index);
    if (run) for (let n = 0; n < Math.max(run.gone.length, run.come.length); n++) pairs.push([run.gone[n] ?? null, run.come[n] ?? null]);
    else if (sign === " " || sign === "\\") pairs.push([index, index]);
  }
  return pairs;
}

/** What differs between two lines, by words; nothing where they have too little in common to be told so. */
export function wordMarks(old: string, fresh: string): [Marks, Marks] {
  const a = old.match(WORD) ?? [];
  const b = fresh.match(WORD) ?? [];
  const most = Math.min(a.length, b.length);
  let first = 0;
  while (first < most && a[first] === b[first]) first++;
  let last = 0;
  while (last < most - first && a.at(-1 - last) === b.at(-1 - last)) last++;
  const ends = (middle: boolean[]) => [...Array<boolean>(first).fill(true), ...middle, ...Array<boolean>(last).fill(true)];
  const [here, there] = common(a.slice(first, a.length - last), b.slice(first, b.length - last));
  const [left, right] = [ends(here), ends(there)];
  if (size(a.filter((_, n) => left[n])) * 4 < Math.max(size(a), size(b))) return [[], []];
  return [stretches(a, left), stretches(b, right)];
}

/** Which words of each belong to the longest sequence that both have. */
function common(a: readonly string[], b: readonly string[]): [boolean[], boolean[]] {
  const kept: [boolean[], boolean[]] = [Array<boolean>(a.length).fill(false), Array<boolean>(b.length).fill(false)];
  if (a.length * b.length > MOST_PAIRS) return kept;
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1]! + 1 : Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!);
    }
  }
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) kept[0][i++] = kept[1][j++] = true;
    else if (best[(i + 1) * width + j]! >= best[i * width + j + 1]!) i++;
    else j++;
  }
  return kept;
}

function points(text: string): number {
  return [...text].length;
}

function size(words: readonly string[]): number {
  return words.reduce((sum, word) => sum + (word[0] === " " || word[0] === "\t" ? 0 : points(word)), 0);
}

function stretches(words: readonly string[], kept: readonly boolean[]): Marks {
  const found: [number, number][] = [];
  let at = 0;
  for (const [n, word] of words.entries()) {
    const end = at + points(word);
    if (!kept[n]) {
      const before = found.at(-1);
      if (before && before[1] === at) before[1] = end;
      else found.push([at, end]);
    }
    at = end;
  }
  return found;
}
