/** Comments on lines of a diff, and the prompt that takes them to the agent; the twin of `coder_nb/core/comments.py`. */

export interface Comment {
  path: string;
  line: number;
  text: string;
  quoted?: string;
  old?: boolean;
  agent?: string | null;
}

export function commentsPrompt(comments: readonly Comment[]): string {
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const sorted = [...comments].sort((a, b) => order(a.path, b.path) || a.line - b.line || Number(a.old ?? false) - Number(b.old ?? false));
  const opening = `Please address ${comments.length === 1 ? "this review comment" : "these review comments"} on your changes:`;
  const said = sorted.map(({ path, line, text, quoted, old }) =>
    [`${path}:${line}${old ? " (before the change)" : ""}`, ...(quoted?.trim() ? [`> ${quoted}`] : []), text.trim()].join("\n"),
  );
  return [opening, ...said].join("\n\n");
}
