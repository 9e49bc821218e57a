import assert from "node:assert/strict";
import { test } from "node:test";
import { isId, newId } from "../../frontend/src/ids.ts";
import { below, clock, count, duration, money, printed, revealed, summed, totals, usageLine } from "../../frontend/src/text.ts";

const row = (more) => ({ tokens: { input: 10, output: 5 }, cost_nanousd: 2_000_000, cost_source: "reported", ...more });
const shown = (text) => revealed(text).map((part) => (part.code ? `[${part.text}]` : part.text)).join("");

test("what is not known is n/a and never 0", () => {
  assert.equal(count(null), "n/a");
  assert.equal(money(undefined), "n/a");
  assert.equal(duration(null), "n/a");
  assert.equal(count(0), "0");
  assert.equal(money(0), "$0");
  assert.equal(usageLine([row({ tokens: {}, cost_nanousd: null })]).text, "n/a in · n/a out · cost n/a");
});

test("figures are short and keep what matters", () => {
  assert.deepEqual([9_999, 12_345, 99_949, 123_456, 999_949, 1_234_567].map(count), ["9,999", "12.3k", "99.9k", "123k", "1.00M", "1.23M"]);
  assert.deepEqual([410_000, 18_400_000, 1_234_000_000, 45_600_000_000].map(money), ["$0.00041", "$0.0184", "$1.234", "$45.60"]);
  assert.deepEqual([12, 2_500, 65_000].map(duration), ["12 ms", "2.5 s", "1 min 05 s"]);
  assert.equal(clock(3_725_000), "1 h 02 min");
});

test("a sum says at least where some reports did not say theirs", () => {
  const sum = totals([row(), row({ cost_nanousd: null, cost_source: "unknown" })]);
  assert.equal(summed(sum.cost, money), "≥ $0.0020");
  assert.equal(summed(sum.input, count), "20");
  assert.equal(sum.cost.unknown, 1);
});

test("no total counts what was replayed, and alone it is shown as not counted", () => {
  const replayed = row({ counted: false });
  assert.equal(totals([row(), replayed]).input.value, 10);
  assert.equal(usageLine([row(), replayed]).text, "10 in · 5 out · $0.0020");
  assert.equal(usageLine([replayed]).text, "10 in · 5 out · $0.0020 · not counted");
});

test("nothing hides in what is to be allowed", () => {
  assert.equal(shown("rm -rf /tmp/x\u202e/emoh/"), "rm -rf /tmp/x[U+202E]/emoh/");
  assert.equal(shown("a\u200bb\u00a0c\u0007d\ufeff"), "a[U+200B]b[U+00A0]c[U+0007]d[U+FEFF]");
  assert.equal(shown("x\u{e0041}y"), "x[U+E0041]y");
  assert.equal(shown("x\ufe0f\u200dy"), "x[U+FE0F][U+200D]y");
  assert.equal(shown("lone \ud800"), "lone [U+D800]");
});

test("ordinary text of any language is left alone", () => {
  for (const text of ["plain\n\ttext", "Größe – “quoted”", "日本語", "⚠️ 👩‍🔬 ❤️", "مرحبا"]) assert.equal(shown(text), text);
});

test("ids are as the kernel makes them", () => {
  const id = newId();
  assert.match(id, /^[0-9a-hjkmnp-tv-z]{26}$/);
  assert.ok(isId(id));
  for (const other of ["", "../../x", id.toUpperCase(), `${id}/`, null, 3]) assert.ok(!isId(other));
});

test("what a program tells a terminal is not shown, and what would reorder its output is told", () => {
  assert.equal(printed("\u001b[1;31mred\u001b[0m \u001b]8;;https://x\u0007a link\u001b]8;;\u001b\\ \u0007"), "red a link ");
  assert.equal(printed("one\r\ntwo\tthree\u009b"), "one\ntwo\tthree");
  assert.equal(printed("rm \u202etxt.sh"), "rm [U+202E]txt.sh");
  for (const text of ["a\n\tb", "│\u00a0\u00a0 ├── Größe", "مرحبا 日本語 👩‍🔬"]) assert.equal(printed(text), text);
});

test("a path is seen from the folder that it is below, and whole where it leads out of it", () => {
  assert.equal(below("/w/s", "/w/s/src/a.py"), "src/a.py");
  for (const path of ["/w/s", "/w/s/", "/w/st/a.py", "src/a.py", "/etc/passwd", "/w/s/../t/a.py"]) assert.equal(below("/w/s", path), path);
  assert.equal(below("", "/a.py"), "/a.py");
});
