/**
 * Fold: what readers are sent, in whatever order and however often, becomes the chat as it is.
 *
 * The twin of `coder_nb/core/transcript.py`; both pass `tests/golden/fold/*.json`. Offsets count code points.
 */

import type { Chunk, Delta, Entry, Page, Text } from "./wire.ts";

interface Place {
  pos: number;
  id: string;
}

export class Transcript {
  /** The cursor: everything up to this revision has been folded in. */
  rev = 0;
  private readonly entries = new Map<string, Entry>();
  private readonly order: Place[] = [];
  private readonly restores: [number, number, number][] = [];
  private hidden: [number, number][] = [];
  private readonly waiting = new Map<string, (Chunk | Delta)[]>();
  private readonly lengths = new Map<string, number>();

  /** Folds a page of the log in; returns the ids of the entries it changed, in the order of the page. */
  apply(page: Page): string[] {
    const changed = new Set<string>();
    for (const entry of page.entries ?? []) if (this.upsert(entry)) changed.add(entry.id);
    for (const chunk of page.chunks ?? []) if (this.splice(chunk)) changed.add(chunk.entry_id);
    this.rev = Math.max(this.rev, page.rev ?? 0);
    return [...changed];
  }

  /** Folds live text in; false where it was known already or lies beyond a hole that a commit will fill. */
  applyDelta(delta: Delta): boolean {
    return this.splice(delta);
  }

  get(id: string): Entry | undefined {
    return this.entries.get(id);
  }

  /** Whether a restore has hidden what stands at this position. */
  isHidden(pos: number): boolean {
    return this.hidden.some(([first, last]) => first <= pos && pos <= last);
  }

  /** The visible entries by position. */
  *[Symbol.iterator](): Iterator<Entry> {
    for (const { pos, id } of this.order) if (!this.isHidden(pos)) yield this.entries.get(id)!;
  }

  private upsert(entry: Entry): boolean {
    const known = this.entries.get(entry.id);
    if (known !== undefined) {
      if ((entry.rev ?? 0) < (known.rev ?? 0)) return false;
      this.put(keepingLongerText(entry, known, (e) => this.length(e)));
      return true;
    }
    this.place({ pos: entry.pos ?? 0, id: entry.id });
    this.put(entry);
    const body = entry.body;
    if (body.kind === "checkpoint" && body.hides_from != null) {
      const pos = entry.pos ?? 0;
      this.restores.push([pos, body.hides_from, body.hides_to || pos - 1]);
      this.restores.sort((a, b) => a[0] - b[0]);
      this.hidden = hiddenRanges(this.restores);
    }
    const late = this.waiting.get(entry.id) ?? [];
    this.waiting.delete(entry.id);
    for (const part of late) this.splice(part);
    return true;
  }

  private put(entry: Entry): void {
    this.entries.set(entry.id, entry);
    this.lengths.delete(entry.id);
  }

  private place(place: Place): void {
    let low = 0;
    let high = this.order.length;
    const last = this.order[high - 1];
    if (last === undefined || before(last, place)) low = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.order[middle]!, place)) low = middle + 1;
      else high = middle;
    }
    this.order.splice(low, 0, place);
  }

  private splice(part: Chunk | Delta): boolean {
    const entry = this.entries.get(part.entry_id);
    if (entry === undefined) {
      const queue = this.waiting.get(part.entry_id);
      if (queue) queue.push(part);
      else this.waiting.set(part.entry_id, [part]);
      return false;
    }
    if (!streams(entry) || !entry.open) return false;
    const known = this.length(entry);
    const end = part.offset + codePoints(part.text);
    if (part.offset > known || end <= known) return false;
    const fresh = part.offset === known ? part.text : [...part.text].slice(known - part.offset).join("");
    const body: Text = { ...entry.body, text: (entry.body.text ?? "") + fresh };
    this.entries.set(entry.id, { ...entry, body });
    this.lengths.set(entry.id, end);
    return true;
  }

  private length(entry: Entry & { body: Text }): number {
    const known = this.entries.get(entry.id) === entry ? this.lengths.get(entry.id) : undefined;
    const length = known ?? codePoints(entry.body.text ?? "");
    if (this.entries.get(entry.id) === entry) this.lengths.set(entry.id, length);
    return length;
  }
}

/**
 * What restores hide, given as position, first and last hidden, in the order of their positions. One that is itself
 * hidden by a later one hides nothing: so a restore is undone by going back to before it.
 */
function hiddenRanges(restores: readonly [number, number, number][]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const [pos, first, last] of [...restores].reverse()) {
    if (!ranges.some(([low, high]) => low <= pos && pos <= high)) ranges.push([first, Math.min(last, pos - 1)]);
  }
  return ranges;
}

function before(a: Place, b: Place): boolean {
  return a.pos < b.pos || (a.pos === b.pos && a.id < b.id);
}

function streams(entry: Entry): entry is Entry & { body: Text } {
  return entry.body.kind === "text" || entry.body.kind === "reasoning";
}

/** While an entry streams, a commit may be behind what was shown live; a closed one is the last word. */
function keepingLongerText(fresh: Entry, known: Entry, length: (entry: Entry & { body: Text }) => number): Entry {
  if (!fresh.open || !streams(fresh) || !streams(known) || length(known) <= length(fresh)) return fresh;
  return { ...fresh, body: { ...fresh.body, text: known.body.text ?? "" } };
}

export function codePoints(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) {
        count--;
        i++;
      }
    }
  }
  return count;
}
