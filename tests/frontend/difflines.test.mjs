// The page and the kernel tell the lines of a diff, and word the comments on them, alike.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { commentsPrompt } from "../../frontend/src/comments.ts";
import { linesOf, pairsOf, wordMarks } from "../../frontend/src/difflines.ts";

const golden = (name) => JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), "utf8"));
const told = ({ sign, text, old, new: fresh, marks }) => ({ sign, text, ...(old != null && { old }), ...(fresh != null && { new: fresh }), ...(marks.length && { marks }) });

for (const { name, hunk, lines, pairs } of golden("difflines")) {
  test(`lines: ${name}`, () => {
    const found = linesOf(hunk);
    assert.deepEqual(found.map(told), lines.map((line) => told({ marks: [], ...line })));
    assert.deepEqual(pairsOf(found), pairs);
  });
}

for (const { name, comments, prompt } of golden("comments")) {
  test(`comments: ${name}`, () => assert.equal(commentsPrompt(comments), prompt));
}

test("lines of any length are compared in no time", () => {
  const long = (word) => Array.from({ length: 20_000 }, (_, n) => `${word}${n % 50 ? "" : n}`).join(" ");
  const began = performance.now();
  wordMarks(long("a"), long("b"));
  assert.ok(performance.now() - began < 500);
});
