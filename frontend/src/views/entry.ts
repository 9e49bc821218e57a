/** One row of a transcript for each kind of entry; a kind that is not known is shown as it came. */

import type { Chat } from "../chat.ts";
import { h, plainText, setText } from "../dom.ts";
import { agentIcon, agentLabel, icon, spinner } from "../icons.ts";
import { GrowingMarkdown } from "../markdown.ts";
import { duration, plural, timeOfDay, usageLine } from "../text.ts";
import type { Attachment, Body, Checkpoint, Entry, Options, Plan, Text, ToolCall, TurnEnded, TurnStarted, UserMessage } from "../wire.ts";
import { tryAgain } from "./again.ts";
import { PICTURES } from "./attach.ts";
import { permissionRow } from "./permission.ts";
import { diffTable } from "./difftable.ts";
import { goBack } from "./going.ts";
import { countLines, hunksOf, inputValue, output, pathName, stat } from "./pieces.ts";
import { questionRow } from "./question.ts";

export interface Context {
  readonly chat: Chat;
  readonly options: Options;
  /** Whether the whole chat is shown, and not one turn of it. */
  readonly whole: boolean;
  /** Says something to a screen reader. */
  announce(text: string): void;
}

/** What stands for one entry; `update` brings it to the entry as it is now. */
export interface Row {
  readonly element: HTMLElement;
  update(entry: Entry): void;
}

type BodyOf<K> = Extract<Body, { kind: K }>;
type Maker<B> = (context: Context) => { element: HTMLElement; update(body: B, entry: Entry): void };

/** Every kind of entry; null for those that other parts of the view show. */
const ROWS: { [K in Body["kind"]]: Maker<BodyOf<K>> | null } = {
  turn_started: turnStarted,
  user_message: userMessage,
  text,
  reasoning,
  tool_call: toolCall,
  plan,
  permission: permissionRow,
  question: questionRow,
  commands: null,
  mode: () => line("switch_mode", (body: BodyOf<"mode">) => [`The agent's own mode: ${body.available?.find((m) => m.id === body.current)?.label || body.current}`]),
  usage: null,
  file_change: () => line("file", (body: BodyOf<"file_change">) => [h("span", { class: "operation" }, OPERATIONS[body.operation ?? "edit"]), pathName(body.path), stat(body.additions, body.deletions)]),
  checkpoint: wentBack,
  compaction,
  notice: () => {
    const row = line("info", (body: BodyOf<"notice">) => [body.text]);
    return {
      element: row.element,
      update(body: BodyOf<"notice">, entry: Entry) {
        row.update(body, entry);
        row.element.classList.toggle("warning", body.level === "warning");
        row.element.querySelector(".icon")?.replaceWith(icon(body.level === "warning" ? "warning" : "info"));
      },
    };
  },
  error: () => {
    const row = line("warning", (body: BodyOf<"error">) => [body.message]);
    row.element.classList.add("error");
    return row;
  },
  raw,
  turn_ended: turnEnded,
};

export const OPERATIONS = { create: "Created", edit: "Edited", delete: "Deleted", rename: "Renamed" } as const;

/** The row of an entry, or null where an entry of its kind is not shown in the list. */
export function makeRow(entry: Entry, context: Context): Row | null {
  const kind = entry.body.kind;
  const known = Object.hasOwn(ROWS, kind);
  const maker = (known ? ROWS[kind] : raw) as Maker<Body> | null;
  if (!maker || (entry.body.kind === "checkpoint" && entry.turn_id)) return null;
  const made = maker(context);
  made.element.classList.add("entry", `kind-${known ? kind : "raw"}`);
  made.element.dataset["entry"] = entry.id;
  if (entry.parent) made.element.classList.add("nested");
  made.update(entry.body, entry);
  return { element: made.element, update: (now) => made.update(now.body, now) };
}

/** A row of an icon and a few words. */
function line<B>(sign: string, words: (body: B) => (Node | string)[] | null): { element: HTMLElement; update(body: B, entry: Entry): void } {
  const content = h("span", { class: "words" });
  const element = h("div", { class: "line" }, icon(sign), content);
  return {
    element,
    update(body) {
      const now = words(body);
      element.hidden = now === null;
      content.replaceChildren(...(now ?? []));
    },
  };
}

/** A row that unfolds; what is inside is made when it is first opened. */
export function folding(name: string, summary: (Node | string)[], fill: (inside: HTMLElement) => void): HTMLDetailsElement & { refill(): void } {
  const inside = h("div", { class: "inside" });
  const details = h("details", { class: name }, h("summary", {}, icon("chevron"), ...summary), inside);
  let filled = false;
  const refill = () => {
    if (!details.open && !filled) return;
    filled = true;
    fill(inside);
  };
  details.addEventListener("toggle", () => filled || refill());
  return Object.assign(details, { refill });
}

function turnStarted() {
  const element = h("div", { class: "turn-head" });
  return {
    element,
    update(body: TurnStarted, entry: Entry) {
      const time = entry.ts ? h("time", { datetime: new Date(entry.ts).toISOString(), title: new Date(entry.ts).toLocaleString() }, timeOfDay(entry.ts)) : null;
      element.replaceChildren(
        agentIcon(body.agent),
        h("span", { class: "agent-name" }, body.label || agentLabel(body.agent)),
        ...(body.model ? [h("span", { class: "muted" }, body.model)] : []),
        ...(body.mode && body.mode !== "ask" ? [h("span", { class: "tag" }, MODE_LABELS[body.mode] ?? body.mode)] : []),
        ...(body.origin === "agent" ? [h("span", { class: "tag" }, "by itself")] : []),
        ...(time ? [time] : []),
      );
    },
  };
}

export const MODE_LABELS: Record<string, string> = { ask: "Ask", accept_edits: "Accept edits", plan: "Plan", bypass: "Bypass" };

/** A picture that went with a prompt, where it is there and of a kind in which nothing can run. */
function picture(file: Attachment): HTMLElement | null {
  if (!file.data || !PICTURES.includes(file.mime_type ?? "")) return null;
  return h("img", { class: "picture", src: `data:${file.mime_type};base64,${file.data}`, alt: file.name });
}

/** A restore, which is a checkpoint of no turn; it is undone by going back to before it. */
function wentBack(context: Context) {
  const row = line("back", (body: Checkpoint) => [body.hides_from == null ? "The files went back to an earlier state." : "Went back to an earlier state; what came after it is hidden."]);
  let undo: HTMLElement | null = null;
  return {
    element: row.element,
    update(body: Checkpoint, entry: Entry) {
      row.update(body, entry);
      if (!undo && context.whole) row.element.append((undo = goBack(context, entry.id, "Undo", "Undo this restore, and all that came after it?")));
    },
  };
}

function userMessage(context: Context) {
  const element = h("div", { class: "user", role: "group", "aria-label": "Prompt" });
  let back: HTMLElement | null = null;
  return {
    element,
    update(body: UserMessage, entry: Entry) {
      if (context.whole && entry.turn_id && body.prompt_id) back ??= goBack(context, entry.turn_id, "Restore", "Restore the state from before this prompt?");
      const files = (body.attachments ?? []).map((file) => picture(file) ?? h("span", { class: "tag" }, file.path ?? file.name));
      element.replaceChildren(h("div", { class: "user-text" }, body.text), ...(files.length ? [h("div", { class: "tags" }, ...files)] : []), ...(back ? [back] : []));
    },
  };
}

function text() {
  const markdown = new GrowingMarkdown();
  return {
    element: markdown.element,
    update(body: Text, entry: Entry) {
      if (entry.open) markdown.update(body.text ?? "");
      else markdown.settle(body.text ?? "");
      markdown.element.classList.toggle("open", entry.open === true);
      markdown.element.hidden = !body.text;
    },
  };
}

function reasoning(context: Context) {
  const label = h("span", { class: "label" });
  const preview = h("span", { class: "preview" });
  const markdown = new GrowingMarkdown();
  let now: { body: Text; open: boolean } = { body: { kind: "reasoning" }, open: false };
  const fill = (inside: HTMLElement) => {
    if (!inside.firstChild) inside.append(markdown.element);
    if (now.open) markdown.update(now.body.text ?? "");
    else markdown.settle(now.body.text ?? "");
  };
  const element = folding("reasoning", [icon("think"), label, preview], fill);
  element.open = context.options.reasoning_open === true;
  return {
    element,
    update(body: Text, entry: Entry) {
      now = { body, open: entry.open === true };
      setText(label, now.open ? "Thinking" : "Thought");
      setText(preview, previewOf(body.text ?? "", now.open));
      element.classList.toggle("open", now.open);
      element.hidden = !now.open && !body.text;
      element.refill();
    },
  };
}

/** One line of a text: the last while it grows, the first when it stands. */
function previewOf(text: string, growing: boolean): string {
  const part = growing ? text.slice(-400).trimEnd() : text.slice(0, 400).trimStart();
  const lines = part.split("\n").filter((one) => one.trim());
  return ((growing ? lines.at(-1) : lines[0]) ?? "").replace(/\*\*|`|^[#>\s]+/g, "").trim();
}

const STATUS_WORDS = { pending: "waiting", in_progress: "running", completed: "done", failed: "failed", cancelled: "cancelled" } as const;

export function statusSign(status: keyof typeof STATUS_WORDS): HTMLElement {
  const sign = { pending: () => icon("clock"), in_progress: spinner, completed: () => icon("check"), failed: () => icon("cross"), cancelled: () => icon("dash") }[status]();
  return h("span", { class: `status status-${status}` }, sign, h("span", { class: "sr" }, STATUS_WORDS[status]));
}

function toolCall({ chat }: Context) {
  const sign = h("span", { class: "sign" });
  const title = h("span", { class: "title" });
  const facts = h("span", { class: "facts" });
  const status = h("span");
  let now: ToolCall = { kind: "tool_call", name: "" };
  const element = folding("tool", [sign, title, facts, status], (inside) => inside.replaceChildren(...toolDetails(now, chat)));
  return {
    element,
    update(body: ToolCall) {
      now = body;
      const state = body.status ?? "pending";
      sign.replaceChildren(icon(body.tool_kind ?? "other"));
      title.replaceChildren(plainText(toolTitle(body)));
      title.title = body.original_name || body.name;
      title.classList.toggle("mono", body.tool_kind === "execute");
      facts.replaceChildren(...toolFacts(body));
      status.replaceChildren(statusSign(state));
      element.dataset["status"] = state;
      element.refill();
    },
  };
}

function toolTitle(body: ToolCall): string {
  const command = (body.input as { command?: unknown } | null | undefined)?.command;
  const title = body.tool_kind === "execute" && typeof command === "string" ? command : body.title || body.original_name || body.name;
  return title.replace(/^`+|`+$/g, "").replace(/\s*\n\s*/g, " ⏎ ");
}

function toolFacts(body: ToolCall): Node[] {
  const facts: Node[] = [];
  if (body.diffs?.length) {
    const { additions, deletions } = countLines(body.diffs.flatMap(hunksOf));
    facts.push(stat(additions, deletions));
  }
  if (body.exit_code) facts.push(h("span", { class: "tag bad" }, `exit ${body.exit_code}`));
  return facts;
}

function toolDetails(body: ToolCall, chat: Chat): Node[] {
  const parts: Node[] = [];
  const section = (name: string, content: Node | null) => content && parts.push(h("div", { class: "section" }, h("div", { class: "caption" }, plainText(name)), content));
  const diffs = body.diffs ?? [];
  if (!diffs.length) section("Input", inputValue(body.input));
  for (const diff of diffs) section(chat.shown(diff.path), diffTable(hunksOf(diff), diff.path));
  if (body.locations?.length && !diffs.length) {
    section("Places", h("ul", { class: "places" }, ...body.locations.map(({ path, line }) => h("li", {}, plainText(line ? `${chat.shown(path)}:${line}` : chat.shown(path))))));
  }
  if (body.content) section("Output", output(body.content));
  if (!parts.length) parts.push(h("div", { class: "muted" }, "The agent gave no details."));
  return parts;
}

function plan() {
  const progress = h("span", { class: "muted" });
  const list = h("ul", { class: "steps" });
  const element = h("div", { class: "plan" }, h("div", { class: "plan-head" }, icon("plan"), h("span", { class: "label" }, "Plan"), progress), list);
  return {
    element,
    update(body: Plan) {
      const items = body.items ?? [];
      setText(progress, `${items.filter((item) => item.status === "completed").length} of ${items.length} done`);
      list.replaceChildren(
        ...items.map((item) => {
          const state = item.status ?? "pending";
          const mark = h("span", { class: `step-mark ${state}` }, state === "completed" ? icon("check") : state === "in_progress" ? spinner() : "");
          return h("li", { class: `step ${state}` }, mark, h("span", {}, item.text), h("span", { class: "sr" }, ` (${STATUS_WORDS[state]})`));
        }),
      );
    },
  };
}

function compaction() {
  const markdown = new GrowingMarkdown();
  let summary = "";
  const element = folding("reasoning", [icon("clock"), h("span", { class: "label" }, "The conversation was summarised")], (inside) => {
    markdown.settle(summary);
    inside.replaceChildren(markdown.element);
  });
  return {
    element,
    update(body: BodyOf<"compaction">) {
      summary = body.summary || "The agent gave no summary.";
      element.refill();
    },
  };
}

function raw() {
  const label = h("span", { class: "preview" });
  let now: unknown;
  const element = folding("reasoning", [icon("other"), h("span", { class: "label" }, "Not understood"), label], (inside) => {
    inside.replaceChildren(output(JSON.stringify(now, null, 2)));
  });
  return {
    element,
    update(body: Body) {
      now = body.kind === "raw" ? body.data : body;
      setText(label, body.kind === "raw" ? [body.source, body.type].filter(Boolean).join(" · ") : body.kind);
      element.refill();
    },
  };
}

export const ENDS: Record<TurnEnded["end"], { label: string; sign: string; tone: string }> = {
  completed: { label: "Completed", sign: "check", tone: "good" },
  cancelled: { label: "Stopped", sign: "stop", tone: "" },
  failed: { label: "Failed", sign: "cross", tone: "bad" },
  refused: { label: "Refused", sign: "cross", tone: "warn" },
  limited: { label: "Reached a limit", sign: "warning", tone: "warn" },
  interrupted: { label: "Interrupted", sign: "warning", tone: "warn" },
};

function turnEnded(context: Context) {
  const element = h("div", { class: "turn-end" });
  return {
    element,
    update(body: TurnEnded, entry: Entry) {
      const { label, sign, tone } = ENDS[body.end];
      const usage = usageLine(context.chat.usageRows(entry.turn_id));
      const files = context.chat.changedFiles(entry.turn_id);
      const facts = [
        h("span", { title: "How long the turn took" }, duration(body.duration_ms)),
        h("span", {}, files === 0 ? "no files changed" : `${plural(files, "file")} changed`),
        h("span", { title: usage.title || "The agent reported no usage" }, usage.text || "tokens n/a · cost n/a"),
      ];
      const message = body.end === "completed" ? "" : body.message;
      element.replaceChildren(
        h("div", { class: "turn-facts" }, h("span", { class: `end ${tone}`, title: body.reason }, icon(sign), label), ...facts),
        ...(message ? [h("div", { class: `turn-message ${tone}` }, message)] : []),
      );
      const again = tryAgain(context, entry.turn_id ?? "", body.end);
      if (again) element.append(again);
    },
  };
}
