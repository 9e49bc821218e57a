// Folds what comes: one line of JSON with `steps` in, one line with what a reader then sees out.

import { createInterface } from "node:readline";
import { codePoints, Transcript } from "../../frontend/src/fold.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const transcript = new Transcript();
  for (const step of JSON.parse(line).steps) {
    if (step.page) transcript.apply(step.page);
    else transcript.applyDelta(step.delta);
  }
  const entries = [...transcript];
  const lengths = entries.map((entry) => codePoints(entry.body.text ?? ""));
  console.log(JSON.stringify({ rev: transcript.rev, entries, lengths }));
}
