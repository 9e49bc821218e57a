/** Figures and words as they are shown. What is not known is "n/a", never 0. */

import type { CostSource, Tokens, UsageRow } from "./wire.ts";

export const UNKNOWN = "n/a";

export function count(value: number | null | undefined): string {
  if (value == null) return UNKNOWN;
  if (value < 10_000) return value.toLocaleString("en-US");
  if (value < 999_500) return `${(value / 1000).toFixed(value < 99_950 ? 1 : 0)}k`;
  return `${(value / 1_000_000).toFixed(2)}M`;
}

export function money(nanousd: number | null | undefined): string {
  if (nanousd == null) return UNKNOWN;
  const usd = nanousd / 1e9;
  if (usd === 0) return "$0";
  if (usd < 0.0001) return "<$0.0001";
  if (usd < 0.001) return `$${usd.toPrecision(2)}`;
  return `$${usd.toFixed(usd < 0.1 ? 4 : usd < 10 ? 3 : 2)}`;
}

export function duration(ms: number | null | undefined): string {
  if (ms == null) return UNKNOWN;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return clock(ms);
}

/** Whole seconds, for what ticks. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = String(seconds % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes} min ${rest} s` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Memory and the like, in the units of computers. */
export function mebibytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  while (value >= 1023.5 && at < units.length - 1) (value /= 1024), at++;
  return `${at === 0 || value >= 99.95 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1)} ${units[at]}`;
}

export function timeOfDay(ts: number): string {
  return new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** A size, as people say it. */
export function bytes(size: number): string {
  if (size < 1000) return plural(size, "byte");
  return size < 1e6 ? `${(size / 1e3).toFixed(size < 1e4 ? 1 : 0)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en-US")} ${n === 1 ? one : many}`;
}

/** Sums of what is known; `unknown` says how many of the reports did not say it. */
export interface Sum {
  value: number | null;
  unknown: number;
}

export interface Totals {
  input: Sum;
  cached: Sum;
  output: Sum;
  cost: Sum;
  sources: Set<CostSource>;
  /** How many reports were summed. */
  reports: number;
  /** How many were left out because they count elsewhere: replayed, resumed, imported. */
  uncounted: number;
}

type Figures = Pick<UsageRow, "tokens" | "cost_nanousd" | "cost_source" | "counted">;

export function totals(rows: Iterable<Figures>, keep: (row: Figures) => boolean = (row) => row.counted !== false): Totals {
  const sum: Totals = { input: none(), cached: none(), output: none(), cost: none(), sources: new Set(), reports: 0, uncounted: 0 };
  for (const row of rows) {
    if (!keep(row)) {
      sum.uncounted++;
      continue;
    }
    sum.reports++;
    const tokens: Tokens = row.tokens ?? {};
    add(sum.input, tokens.input);
    add(sum.cached, tokens.cache_read);
    add(sum.output, tokens.output);
    add(sum.cost, row.cost_nanousd);
    sum.sources.add(row.cost_source ?? "unknown");
  }
  return sum;
}

function none(): Sum {
  return { value: null, unknown: 0 };
}

function add(sum: Sum, value: number | null | undefined): void {
  if (value == null) sum.unknown++;
  else sum.value = (sum.value ?? 0) + value;
}

/** A sum as shown: with "≥" where some reports did not say theirs. */
export function summed(sum: Sum, format: (value: number | null) => string): string {
  if (sum.value == null) return UNKNOWN;
  return sum.unknown > 0 ? `≥ ${format(sum.value)}` : format(sum.value);
}

/** Tokens and cost of some reports in one line; of replayed ones, which no total counts, it says so. */
export function usageLine(rows: readonly Figures[]): { text: string; title: string } {
  if (rows.length === 0) return { text: "", title: "" };
  const counted = totals(rows);
  const replayed = counted.reports === 0;
  const sum = replayed ? totals(rows, () => true) : counted;
  const parts = [`${summed(sum.input, count)} in`];
  if (sum.cached.value) parts.push(`${summed(sum.cached, count)} cached`);
  parts.push(`${summed(sum.output, count)} out`, sum.cost.value == null ? `cost ${UNKNOWN}` : summed(sum.cost, money));
  if (replayed) parts.push("not counted");
  const title = [
    `${plural(sum.reports, "report")} of the agent`,
    sum.cost.unknown > 0 ? `${sum.cost.unknown} without a cost` : "",
    replayed ? "replayed or resumed: no total counts it again" : "",
  ];
  return { text: parts.join(" · "), title: title.filter(Boolean).join("; ") };
}

// An emoji's own joiners and selectors are left alone; anywhere else they hide something.
const HIDDEN = new RegExp(
  [
    "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f]",
    "[\\u2000-\\u200c\\u200e\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0e\\ufeff\\uffa0\\ufff0-\\ufffb]",
    "(?<!\\p{Extended_Pictographic})\\ufe0f",
    "(?<!\\p{Extended_Pictographic}\\ufe0f?)\\u200d",
    "[\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}]",
    "\\p{Surrogate}",
  ].join("|"),
  "gu",
);

const TERMINAL = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const REORDERS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Output of a program without colours and other commands to a terminal; what would reorder it is shown as its code point. */
export function printed(text: string): string {
  if (PLAIN.test(text)) return text;
  const shown = text.replaceAll("\r\n", "\n").replace(TERMINAL, "");
  return shown.replace(REORDERS, (char) => `[U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** Most text, of which it is known at once that nothing hides in it. */
const PLAIN = /^[\t\n\x20-\x7e]+$/;

/** Text cut where a character is that cannot be seen or that reorders its neighbours; those become their code point. */
export function revealed(text: string): { text: string; code: boolean }[] {
  if (PLAIN.test(text)) return [{ text, code: false }];
  const parts: { text: string; code: boolean }[] = [];
  let at = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > at) parts.push({ text: text.slice(at, match.index), code: false });
    const point = match[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    parts.push({ text: `U+${point}`, code: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), code: false });
  return parts;
}

/** A path without the folder that it is below; the whole of it where it is not, or where `..` could lead out again. */
export function below(folder: string, path: string): string {
  const rest = folder && path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : "";
  return rest && !rest.split("/").includes("..") ? rest : path;
}
