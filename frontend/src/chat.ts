/** A chat as this page knows it: one for all views of it, fed by one link, told to whoever listens. */

import type { Comment } from "./comments.ts";
import { Transcript } from "./fold.ts";
import { below } from "./text.ts";
import type { Link } from "./transport.ts";
import {
  type AgentCommands,
  type AgentInfo,
  type AgentOffer,
  type Change,
  type ChatInfo,
  type CheckpointInfo,
  type Entry,
  type FileContent,
  type Frame,
  type Page,
  type Preview,
  type Rule,
  type Scope,
  type Prompt,
  type Risk,
  type SessionInfo,
  type Snapshot,
  type Usage,
  type UsageRow,
} from "./wire.ts";

export type Aspect = "entries" | "state" | "changes" | "previews" | "comments" | "usage" | "agents" | "offers";
export type Verb = "apply" | "reject" | "revert";
type Listener = (aspect: Aspect, ids: readonly string[]) => void;

const OLDER = 200;

export class Chat {
  readonly id: string;
  readonly transcript = new Transcript();
  info: ChatInfo | null = null;
  session: SessionInfo | null = null;
  changes: readonly Change[] = [];
  previews: ReadonlyMap<string, Preview> = new Map();
  comments: readonly Comment[] = [];
  agents: readonly AgentInfo[] | null = null;
  offers: readonly AgentOffer[] | null = null;
  mayExecute = true;
  /** Where this page stands with whoever runs the chat: `saved` is a snapshot that nobody feeds. */
  connection: "saved" | "connecting" | "up" | "down" | "gone" = "saved";
  why = "";
  /** The position from which on all entries are known; 0 where that is not known. */
  firstPos = 0;
  private readonly usage = new Map<string, UsageRow>();
  private readonly usageOfTurn = new Map<string, Map<string, UsageRow>>();
  private readonly filesOfTurn = new Map<string, Set<string>>();
  private readonly listeners = new Set<Listener>();
  private link: Link | null = null;
  private following: { close(): void } | null = null;
  private epoch = "";
  private seenRev = 0;
  private greeted = false;

  constructor(id: string) {
    this.id = id;
  }

  get linkedBy(): Link["kind"] | null {
    return this.link?.kind ?? null;
  }

  get live(): boolean {
    return this.link !== null && this.connection !== "gone";
  }

  /** Whether a button of this page may do something. */
  get canAct(): boolean {
    return this.live && this.mayExecute;
  }

  get running(): boolean {
    return this.live && this.info?.run_status === "running";
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Takes over what a notebook has saved; what is known already and newer stays. */
  seed(snapshot: Snapshot): void {
    const entries = snapshot.entries ?? [];
    if (!this.greeted) this.session = snapshot.session ?? this.session;
    // What a snapshot cut short must not take the place of the whole, which has the same revision.
    const fresh = entries.filter((entry) => (this.transcript.get(entry.id)?.rev ?? -1) < (entry.rev ?? 0));
    this.tell("entries", this.fold({ entries: fresh }));
    if (!this.greeted) {
      const newer = (snapshot.chat?.rev ?? 0) >= (this.info?.rev ?? 0);
      if (newer) this.info = snapshot.chat ?? this.info;
      const [first, then] = newer ? [this.changes, snapshot.changes ?? []] : [snapshot.changes ?? [], this.changes];
      this.changes = [...new Map([...first, ...then].map((change) => [change.id, change])).values()];
      if (!snapshot.turn_id && entries.length) this.firstPos = entries[0]!.pos ?? 0;
    }
    for (const row of snapshot.usage ?? []) if (!this.usage.has(row.entry_id)) this.countRow(row);
    this.tell("state");
    this.tell("changes");
    this.tell("usage");
  }

  /** Feeds the chat from now on, from where the link before it was. */
  connect(link: Link): void {
    this.disconnect();
    this.link = link;
    this.connection = "connecting";
    this.following = link.follow(this.id, {
      after: () => (this.greeted ? this.transcript.rev : null),
      frames: (frames) => frames.forEach((frame) => this.receive(frame)),
      status: (status, why) => this.stand(status, why ?? ""),
    });
    this.tell("state");
  }

  disconnect(): void {
    this.following?.close();
    this.link?.close();
    this.link = this.following = null;
    this.connection = "saved";
    this.tell("state");
  }

  usageRows(turnId?: string | null): UsageRow[] {
    const rows = [...((turnId ? this.usageOfTurn.get(turnId) : this.usage)?.values() ?? [])];
    return rows.sort((a, b) => a.ts - b.ts || (a.entry_id < b.entry_id ? -1 : 1));
  }

  /** How many files a turn changed. */
  changedFiles(turnId: string | null | undefined): number {
    const paths = this.filesOfTurn.get(turnId ?? "") ?? this.changes.filter((change) => change.turn_id === turnId).map((change) => change.path);
    return new Set(paths).size;
  }

  // ---- what a view may ask for; each rejects with a `WireError` whose message can be shown

  prompt(prompt: Prompt): Promise<void> {
    return this.act(async (call) => this.take(await call("POST", "prompts", prompt)));
  }

  /** Says that somebody has looked at all that is known here, where that is news. */
  seen(): void {
    const { rev } = this.transcript;
    if (!this.canAct || !this.info?.unseen || rev <= this.seenRev) return;
    this.seenRev = rev;
    this.act((call) => call("POST", "seen", { rev })).catch(() => (this.seenRev = 0)); // said again with what comes next
  }

  withdraw(promptId: string): Promise<boolean> {
    return this.act(async (call) => (await call<{ done: boolean }>("DELETE", `prompts/${encodeURIComponent(promptId)}`)).done);
  }

  stop(): Promise<boolean> {
    return this.act(async (call) => (await call<{ done: boolean }>("POST", "stop")).done);
  }

  goOn(): Promise<void> {
    return this.act(async (call) => this.take(await call("POST", "go-on")));
  }

  /** Answers a permission; with `always`, by a rule that holds from now on. */
  answer(requestId: string, optionId: string | null, always?: { offer: string; scope: Scope }): Promise<boolean> {
    const route = `permissions/${encodeURIComponent(requestId)}`;
    return this.act(async (call) => (await call<{ done: boolean }>("POST", route, { option_id: optionId, ...(always && { always }) })).done);
  }

  /** A path as it is seen from where the agents work; what is not below that is shown whole. */
  shown(path: string): string {
    return below(this.session?.worktree ?? this.session?.path ?? "", path);
  }

  /** The rules that are in force here. */
  async rules(): Promise<Rule[]> {
    if (!this.link || !this.session) return [];
    return this.link.call<Rule[]>("GET", `sessions/${encodeURIComponent(this.session.id)}/rules`);
  }

  async revoke(ruleId: string): Promise<void> {
    await this.link?.call("DELETE", `rules/${encodeURIComponent(ruleId)}`);
  }

  /** Answers a question by ids of its choices or in own words; null declines. */
  reply(requestId: string, answer: string[] | null): Promise<boolean> {
    const route = `questions/${encodeURIComponent(requestId)}`;
    return this.act(async (call) => (await call<{ done: boolean }>("POST", route, { answer })).done);
  }

  /** Applies, rejects or takes back changes, or of one of them some hunks only. */
  decide(what: Verb, ids: readonly string[], hunks?: Readonly<Record<string, readonly string[]>>): Promise<void> {
    return this.act(async (call) => {
      const decided = await call<Change[]>("POST", `changes/${what}`, { ids, ...(hunks && { hunks }) });
      this.changes = [...new Map([...this.changes, ...decided].map((change) => [change.id, change])).values()];
      this.tell("changes");
    });
  }

  /** Looks again what applying would do to the checkout as it is now. */
  async preview(): Promise<void> {
    const seen = await this.act((call) => call<Preview[]>("GET", "changes/preview"));
    this.previews = new Map(seen.map((one) => [one.change_id, one]));
    this.tell("previews");
  }

  content(changeId: string, side: "old" | "new"): Promise<FileContent> {
    return this.act((call) => call("GET", `changes/${encodeURIComponent(changeId)}/content?side=${side}`));
  }

  /** Comments that are not sent yet: those of this chat, whichever view they were said in. */
  setComments(comments: readonly Comment[]): void {
    this.comments = comments;
    this.tell("comments");
  }

  /** Reads entries from before a position; true where there were any. */
  async loadOlder(before: number): Promise<boolean> {
    const page = await this.act((call) => call<Page>("GET", `entries?before=${before}&limit=${OLDER}`));
    const entries = page.entries ?? [];
    if (before === this.firstPos) this.firstPos = entries.length ? Math.min(...entries.map((e) => e.pos ?? 0)) : 1;
    this.tell("entries", this.fold({ entries, ...(page.chunks && { chunks: page.chunks }) }));
    return entries.length > 0;
  }

  /** What the chat can be restored to. */
  checkpoints(): Promise<CheckpointInfo[]> {
    return this.act((call) => call<CheckpointInfo[]>("GET", "checkpoints"));
  }

  /** Goes back to before a turn, or before a restore. */
  async restore(id: string, files: boolean, conversation: boolean): Promise<void> {
    await this.act((call) => call("POST", "restore", { turn_id: id, files, conversation }));
  }

  /** Ends the chat's agents and puts it away; rejects with what would be lost, unless it is forced. */
  async close(force: boolean): Promise<void> {
    await this.act((call) => call("POST", "close", { force }));
  }

  stash(): Promise<Risk> {
    return this.ofSession<Risk>("stash");
  }

  keepBranch(name: string): Promise<Risk> {
    return this.ofSession<Risk>("branch", { name });
  }

  private ofSession<T>(route: string, body: unknown = {}): Promise<T> {
    const session = encodeURIComponent(this.session?.id ?? "");
    return this.act(() => this.link!.call<T>("POST", `sessions/${session}/${route}`, body));
  }

  /** The agents' own commands, as they are known now. */
  commands(): Promise<AgentCommands[]> {
    return this.act((call) => call<AgentCommands[]>("GET", "commands"));
  }

  /** Tells the running turn something more; false where its agent cannot take it now. */
  async steer(text: string): Promise<boolean> {
    return (await this.act((call) => call<{ done: boolean }>("POST", "steer", { text }))).done;
  }

  async loadAgents(): Promise<void> {
    if (!this.link) return;
    this.agents = await this.link.call<AgentInfo[]>("GET", "agents");
    this.tell("agents");
  }

  /** What the next prompt may ask of each agent, as it is now. */
  async loadOffers(): Promise<void> {
    this.offers = await this.act((call) => call<AgentOffer[]>("GET", "offers"));
    this.tell("offers");
  }

  private act<T>(work: (call: <R>(method: "GET" | "POST" | "DELETE", route: string, body?: unknown) => Promise<R>) => Promise<T>): Promise<T> {
    const link = this.link;
    if (!link) return Promise.reject(new Error("This is a saved view. Run the cell again to go on with the chat."));
    return work((method, route, body) => link.call(method, `chats/${encodeURIComponent(this.id)}/${route}`, body));
  }

  // ---- what comes

  private receive(frame: Frame): void {
    switch (frame.type) {
      case "hello":
        this.epoch = frame.epoch;
        this.session = frame.session;
        this.mayExecute = frame.may_execute ?? true;
        if (!this.greeted) this.firstPos = frame.first_pos ?? 0;
        this.greeted = true;
        this.take(frame.chat);
        void this.loadUsage();
        break;
      case "page":
        this.tell("entries", this.fold(frame.page));
        break;
      case "delta": {
        const grown = frame.deltas.filter((delta) => delta.epoch === this.epoch && this.transcript.applyDelta(delta));
        if (grown.length) this.tell("entries", grown.map((delta) => delta.entry_id));
        break;
      }
      case "state":
        this.take(frame.chat);
        break;
      case "changes":
        this.changes = frame.changes ?? [];
        this.tell("changes");
        break;
    }
  }

  private fold(page: Page): string[] {
    const ids = this.transcript.apply(page);
    const turns = new Set<string>();
    for (const id of ids) {
      const entry = this.transcript.get(id)!;
      if (entry.body.kind === "usage") this.countRow(usageRow(entry, entry.body));
      else if (entry.body.kind === "file_change") this.countFile(entry.turn_id ?? "", entry.body.path);
      else continue;
      turns.add(entry.turn_id ?? "");
    }
    if (turns.size) this.tell("usage", [...turns]);
    return ids;
  }

  private countRow(row: UsageRow): void {
    this.usage.set(row.entry_id, row);
    const turn = row.turn_id ?? "";
    if (!this.usageOfTurn.has(turn)) this.usageOfTurn.set(turn, new Map());
    this.usageOfTurn.get(turn)!.set(row.entry_id, row);
  }

  private countFile(turn: string, path: string): void {
    if (!this.filesOfTurn.has(turn)) this.filesOfTurn.set(turn, new Set());
    this.filesOfTurn.get(turn)!.add(path);
  }

  private async loadUsage(): Promise<void> {
    try {
      for (const row of await this.act((call) => call<UsageRow[]>("GET", "usage"))) this.countRow(row);
      this.tell("usage");
    } catch {
      // the entries that were read are shown; the next hello asks again
    }
  }

  private take(info: ChatInfo): void {
    this.info = info;
    this.tell("state");
  }

  private stand(status: "up" | "down" | "gone", why: string): void {
    this.connection = status;
    this.why = why;
    this.tell("state");
  }

  private tell(aspect: Aspect, ids: readonly string[] = []): void {
    for (const listener of [...this.listeners]) listener(aspect, ids);
  }
}

function usageRow(entry: Entry, { kind: _, ...figures }: Usage): UsageRow {
  return {
    ...figures,
    entry_id: entry.id,
    chat_id: entry.chat_id,
    session_id: "",
    turn_id: entry.turn_id ?? null,
    agent: entry.agent ?? null,
    ts: entry.ts ?? 0,
  };
}
