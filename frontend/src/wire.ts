/** The values of the wire (docs/protocol.md), as JSON brings them: what is at its default is left out. */

export const PROTOCOL = 1;

export type End = "completed" | "cancelled" | "failed" | "refused" | "limited" | "interrupted";
export type ToolStatus = "pending" | "in_progress" | "completed" | "failed" | "cancelled";
export type CostSource = "reported" | "computed" | "unknown";
export type PermissionMode = "ask" | "accept_edits" | "plan" | "bypass";
export type ChangeStatus = "pending" | "applied" | "rejected" | "reverted" | "superseded" | "conflict";

export interface Attachment {
  name: string;
  mime_type?: string;
  path?: string | null;
  data?: string | null;
}

export interface Location {
  path: string;
  line?: number | null;
}

export interface FileDiff {
  path: string;
  old?: string | null;
  new?: string;
}

export interface Tokens {
  input?: number | null;
  output?: number | null;
  reasoning?: number | null;
  cache_read?: number | null;
  cache_write?: number | null;
}

export interface Option {
  id: string;
  label: string;
  kind: "allow_once" | "allow_always" | "reject_once" | "reject_always";
}

/** A rule that may be made with an answer. */
export interface Offer {
  id: string;
  label: string;
  /** All that it would cover. */
  text: string;
}

export type Scope = "session" | "project" | "everywhere";

export interface Rule {
  id: string;
  does: "allow" | "deny";
  scope: Scope;
  covers: { of: "commands"; words: string[] } | { of: "line"; line: string } | { of: "edits"; path?: string } | { of: "uses"; tool: string };
  by?: string;
  created_at?: number;
}

export interface TurnStarted {
  kind: "turn_started";
  agent: string;
  origin?: "user" | "agent";
  prompt_id?: string | null;
  model?: string | null;
  mode?: string | null;
  /** What the agent is called; empty where that is its name. */
  label?: string;
  /** How much it was asked to think. */
  effort?: string | null;
}

export interface UserMessage {
  kind: "user_message";
  text: string;
  prompt_id?: string | null;
  attachments?: Attachment[];
}

export interface Text {
  kind: "text" | "reasoning";
  text?: string;
}

export interface ToolCall {
  kind: "tool_call";
  name: string;
  original_name?: string;
  tool_kind?: string;
  title?: string;
  input?: unknown;
  status?: ToolStatus;
  content?: string;
  locations?: Location[];
  diffs?: FileDiff[];
  exit_code?: number | null;
  /** What the agent noted beside it in forms of its own. */
  meta?: unknown;
}

export interface Plan {
  kind: "plan";
  items?: { text: string; status?: "pending" | "in_progress" | "completed"; priority?: string }[];
}

export interface Permission {
  kind: "permission";
  request_id: string;
  title?: string;
  tool?: string;
  tool_kind?: string;
  tool_entry?: string | null;
  input?: unknown;
  diffs?: FileDiff[];
  options?: Option[];
  offers?: Offer[];
  /** Where such a rule may hold. */
  scopes?: Scope[];
  rules?: string[];
  /** Why it was answered without asking, or which rule was made with the answer. */
  why?: string;
  status?: "pending" | "allowed" | "denied" | "expired";
  option_id?: string | null;
  by?: string | null;
  waited_ms?: number | null;
}

export interface Choice {
  id: string;
  label?: string;
  description?: string;
}

export interface Question {
  kind: "question";
  request_id: string;
  text?: string;
  choices?: Choice[];
  multiple?: boolean;
  /** Whether an answer in own words is taken; left out where it is. */
  custom?: boolean;
  status?: "pending" | "answered" | "declined" | "expired";
  answer?: string[];
  by?: string | null;
  waited_ms?: number | null;
}

export interface Usage {
  kind: "usage";
  tokens?: Tokens;
  model?: string | null;
  cost_nanousd?: number | null;
  cost_source?: CostSource;
  context_used?: number | null;
  context_size?: number | null;
  counted?: boolean;
}

export interface FileChange {
  kind: "file_change";
  change_id: string;
  path: string;
  operation?: Operation;
  old_path?: string | null;
  additions?: number | null;
  deletions?: number | null;
  binary?: boolean;
}

export type Operation = "create" | "edit" | "delete" | "rename";

export interface Checkpoint {
  kind: "checkpoint";
  commit: string;
  hides_from?: number | null;
  hides_to?: number | null;
}

export interface TurnEnded {
  kind: "turn_ended";
  end: End;
  reason?: string;
  message?: string;
  code?: string;
  duration_ms?: number | null;
}

export type Body =
  | TurnStarted
  | UserMessage
  | Text
  | ToolCall
  | Plan
  | Permission
  | Question
  | { kind: "commands"; commands?: Command[] }
  | { kind: "mode"; current: string; available?: { id: string; label?: string }[] }
  | Usage
  | FileChange
  | Checkpoint
  | { kind: "compaction"; summary?: string }
  | { kind: "notice"; text: string; code?: string; level?: "info" | "warning" }
  | { kind: "error"; message: string; code?: string; retryable?: boolean }
  | { kind: "raw"; source: string; type?: string; data?: unknown }
  | TurnEnded;

/** A slash command or skill that an agent offers. */
export interface Command {
  name: string;
  description?: string;
  hint?: string;
}

export interface AgentCommands {
  agent: string;
  commands?: Command[];
}

export interface Entry {
  id: string;
  chat_id: string;
  body: Body;
  turn_id?: string | null;
  pos?: number;
  rev?: number;
  ts?: number;
  agent?: string | null;
  parent?: string | null;
  native_id?: string | null;
  open?: boolean;
}

export interface Chunk {
  entry_id: string;
  offset: number;
  text: string;
  rev?: number;
}

export interface Delta {
  epoch: string;
  entry_id: string;
  offset: number;
  text: string;
}

export interface Page {
  entries?: Entry[];
  chunks?: Chunk[];
  rev?: number;
  more?: boolean;
}

export interface Prompt {
  id: string;
  text: string;
  agent?: string | null;
  model?: string | null;
  effort?: string | null;
  mode?: PermissionMode | null;
  attachments?: Attachment[];
  created_at?: number;
}

/** What a chat is doing, as `coder_nb/core/attention.py` says it. */
export interface Attention {
  state?: "waiting" | "failed" | "finished" | "working" | "starting" | "idle";
  why?: "" | "permission" | "question" | "held" | "slot" | "session";
  place?: number | null;
}

/** What the next prompt may ask of an agent, and what it would do with the agent's memory. */
export interface AgentOffer {
  agent: string;
  memory: "resumed" | "history" | "new";
  told?: boolean;
  model?: string | null;
  models?: Choice[];
  efforts?: Record<string, string[]>;
  modes?: PermissionMode[];
  images?: boolean | null;
  files?: boolean | null;
  carries?: number;
}

export interface ChatInfo {
  id: string;
  session_id: string;
  name?: string;
  title?: string;
  rev?: number;
  run_status?: "initializing" | "idle" | "running" | "error";
  turn_id?: string | null;
  held?: boolean;
  error?: string | null;
  queued?: Prompt[];
  unseen?: boolean;
  attention?: Attention | null;
  runner?: string | null;
}

export interface SessionInfo {
  id: string;
  owner: string;
  path: string;
  name?: string;
  worktree?: string | null;
  branch?: string | null;
}

/** A state to which a chat can be restored. */
export interface CheckpointInfo {
  id: string;
  /** Whether the files are still kept; left out where they are. */
  files?: boolean;
}

/** What would be lost with a session's worktree. */
export interface Risk {
  session_id: string;
  at_risk?: boolean;
  dirty?: string[];
  staged?: string[];
  untracked?: string[];
  ignored?: string[];
  submodules?: string[];
  detached?: number;
  unmerged?: number;
  unpushed?: number;
  pending?: number;
  error?: string;
}

export interface AgentInfo {
  name: string;
  label: string;
  backend: string;
  available: boolean;
  version?: string | null;
  reason?: string;
  cure?: string;
  icon?: string;
  default?: boolean;
}

export interface Hunk {
  old_start: number;
  old_lines: number;
  new_start: number;
  new_lines: number;
  lines: string[];
  id?: string;
}

export interface CellDelta {
  operation: "create" | "edit" | "delete";
  cell_type: string;
  number: number;
  cell_id?: string;
  hunks?: Hunk[];
  note?: string;
}

export interface Clash {
  line: number;
  yours: string[];
  base: string[];
  theirs: string[];
}

export interface Preview {
  change_id: string;
  outcome: "clean" | "merges" | "done" | "conflict";
  note?: string;
  clashes?: Clash[];
}

export interface FileContent {
  media_type: string;
  size: number;
  text?: string | null;
  base64?: string | null;
  note?: string;
}

export interface Change {
  id: string;
  session_id: string;
  chat_id: string;
  turn_id: string;
  path: string;
  operation: Operation;
  agent?: string | null;
  old_path?: string | null;
  status?: ChangeStatus;
  additions?: number | null;
  deletions?: number | null;
  binary?: boolean;
  old_mode?: string | null;
  new_mode?: string | null;
  old_blob?: string | null;
  new_blob?: string | null;
  hunks?: Hunk[];
  cells?: CellDelta[] | null;
  note?: string;
}

export interface UsageRow {
  entry_id: string;
  chat_id: string;
  session_id: string;
  turn_id: string | null;
  agent: string | null;
  ts: number;
  tokens?: Tokens;
  model?: string | null;
  cost_nanousd?: number | null;
  cost_source?: CostSource;
  counted?: boolean;
}

export interface Health {
  protocol: number;
  version: string;
  runtime_id: string;
  status: "ok" | "draining" | "degraded";
}

/** A warm agent session, or a server that several chats share. */
export interface LiveAgent {
  key: string;
  agent: string;
  state: "starting" | "idle" | "busy" | "deaf" | "waiting" | "broken";
  chat_id?: string | null;
  chats?: number;
  pid?: number | null;
  started_at?: number | null;
  last_active_at?: number | null;
  memory?: number | null;
  restarts?: number;
  why?: string;
  retry_at?: number | null;
  session_id?: string | null;
  title?: string;
}

export interface Happening {
  ts: number;
  word: string;
  text?: string;
}

export interface AgentLog {
  key: string;
  happenings?: Happening[];
  stderr?: string;
}

export interface Hello {
  type: "hello";
  protocol: number;
  runtime_id: string;
  epoch: string;
  chat: ChatInfo;
  session: SessionInfo;
  may_execute?: boolean;
  first_pos?: number;
}

export type Frame =
  | Hello
  | { type: "page"; page: Page }
  | { type: "delta"; deltas: Delta[] }
  | { type: "state"; chat: ChatInfo }
  | { type: "changes"; changes?: Change[] };

export type ViewName = "transcript" | "composer" | "diff" | "usage";

/** What a saved notebook keeps of a chat, and what a view paints first. */
export interface Snapshot {
  version?: number;
  view?: ViewName;
  chat?: ChatInfo;
  session?: SessionInfo;
  turn_id?: string | null;
  entries?: Entry[];
  changes?: Change[];
  usage?: UsageRow[];
  options?: Options;
  /** A view that is no chat's, such as a dashboard: its HTML. */
  html?: string;
  /** The warm agents, which are no chat's either. */
  pool?: LiveAgent[];
}

/** What whoever shows a view may choose. */
export interface Options {
  /** How high a transcript or diff may grow before it scrolls: pixels, a CSS length, or "none". */
  max_height?: number | string;
  /** Whether reasoning starts unfolded. */
  reasoning_open?: boolean;
}

/** A failure, as the server or the kernel puts it; the message ends with the cure. */
export class WireError extends Error {
  readonly status: number;
  readonly code: string;
  /** More of it, by its code. */
  readonly details: unknown;

  constructor(status: number, code: string, message: string, details?: unknown) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}
