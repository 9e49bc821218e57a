// All views from made-up chats, to look at. A scripted kernel answers, over the same messages as a real one.

import widget, { standalone } from "/coder_nb/static/coder.js";

const query = new URLSearchParams(location.search);
const CHAT = "01jd0000000000000000000001";
const NOW = Date.UTC(2026, 0, 15, 14, 2, 11);
const T1 = "01jd00000000000000000000t1";
const T2 = "01jd00000000000000000000t2";

let pos = 0;
const entry = (body, more = {}) => ({ id: `e${String(++pos).padStart(4, "0")}`, chat_id: CHAT, turn_id: T1, pos, rev: pos, ts: NOW + pos * 900, agent: "opencode", body, ...more });

const ANSWER = `I found the cause: \`load()\` parses dates **after** the index is set, so pandas keeps them as strings. Two things change:

1. \`read_csv\` gets \`parse_dates=["day"]\`
2. the index is set *after* that, and sorted

\`\`\`python
def load(path: str | Path) -> pd.DataFrame:
    """Sales by day, sorted."""
    frame = pd.read_csv(path, parse_dates=["day"])  # was: strings
    if frame["day"].isna().any():
        raise ValueError(f"{path}: 3 rows without a day")
    return frame.set_index("day").sort_index()
\`\`\`

| file | before | after |
|---|---:|---:|
| \`sales.py\` | 41 lines | 43 lines |
| \`test_sales.py\` | – | 18 lines |

> The old behaviour silently dropped January.

See [the docs of pandas](https://pandas.pydata.org/docs/) for \`parse_dates\`. ![tracker](https://example.org/pixel.png)`;

const PATCH = {
  path: "sales/load.py",
  old: 'import pandas as pd\n\n\ndef load(path):\n    frame = pd.read_csv(path)\n    return frame.set_index("day")\n\n\ndef total(frame):\n    return frame["amount"].sum()\n',
  new: 'from pathlib import Path\n\nimport pandas as pd\n\n\ndef load(path: str | Path) -> pd.DataFrame:\n    """Sales by day, sorted."""\n    frame = pd.read_csv(path, parse_dates=["day"])\n    return frame.set_index("day").sort_index()\n\n\ndef total(frame):\n    return frame["amount"].sum()\n',
};

const DONE = [
  entry({ kind: "turn_started", agent: "opencode", model: "glm-4.7", mode: "accept_edits" }),
  entry({ kind: "user_message", text: "The monthly totals in sales/ are wrong for January. Find out why, fix it, and add a test.\nKeep the public functions as they are.", attachments: [{ path: "notebooks/01-sales.ipynb" }] }),
  entry({ kind: "reasoning", text: "The user says **January** is wrong. Let me look at how dates are read before anything else.\n\nProbably strings." }),
  entry({ kind: "plan", items: [{ text: "Read the loader and the data", status: "completed" }, { text: "Fix the parsing of dates", status: "in_progress" }, { text: "Add a test that fails without the fix" }] }),
  entry({ kind: "tool_call", name: "content_search", original_name: "grep", tool_kind: "search", title: "read_csv in sales/", input: { pattern: "read_csv", path: "sales/" }, status: "completed", content: "sales/load.py:5:    frame = pd.read_csv(path)", locations: [{ path: "sales/load.py", line: 5 }] }),
  entry({ kind: "tool_call", name: "file_read", original_name: "read", tool_kind: "read", title: "sales/load.py", status: "completed", content: PATCH.old }),
  entry({ kind: "tool_call", name: "file_edit", original_name: "edit", tool_kind: "edit", title: "sales/load.py", status: "completed", diffs: [PATCH] }),
  entry({ kind: "tool_call", name: "terminal", original_name: "bash", tool_kind: "execute", title: "Runs the tests", input: { command: "python -m pytest -q tests/test_sales.py", timeout: 120 }, status: "failed", exit_code: 1, content: "F.                                                       [100%]\n=================================== FAILURES ===================================\n    assert load(path).index.dtype == 'datetime64[ns]'\nE   AssertionError\n1 failed, 1 passed in 0.41s" }),
  entry({ kind: "permission", request_id: "p0", title: "Run python -m pytest", tool: "terminal", tool_kind: "execute", input: { command: "python -m pytest -q" }, options: [{ id: "once", label: "Allow once", kind: "allow_once" }], status: "allowed", option_id: "once", by: "ana", waited_ms: 3200 }),
  entry({ kind: "tool_call", name: "terminal", original_name: "bash", tool_kind: "execute", title: "tests", input: { command: "python -m pytest -q" }, status: "completed", content: "..\n2 passed in 0.38s" }),
  entry({ kind: "tool_call", name: "sub_agent", tool_kind: "think", title: "Check the notebooks for other readers of dates", status: "completed" }),
  entry({ kind: "tool_call", name: "web_fetch", tool_kind: "fetch", title: "https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html", status: "cancelled" }, { parent: "e0011" }),
  entry({ kind: "text", text: ANSWER }),
  entry({ kind: "usage", tokens: { input: 4210, output: 912, reasoning: 200, cache_read: 38400 }, model: "glm-4.7", cost_nanousd: 18400000, cost_source: "reported" }),
  entry({ kind: "usage", tokens: { input: 1830, output: 402, cache_read: 41800 }, model: "glm-4.7", cost_source: "unknown" }),
  entry({ kind: "notice", text: "The agent's memory was rebuilt from the conversation so far.", level: "info" }),
  entry({ kind: "notice", text: "A file outside the worktree was written: /tmp/sales-cache.json", level: "warning" }),
  entry({ kind: "raw", source: "opencode", type: "session.future", data: { a: 1 } }),
  entry({ kind: "file_change", change_id: "c1", path: "sales/load.py", operation: "edit", additions: 6, deletions: 3 }),
  entry({ kind: "file_change", change_id: "c2", path: "tests/test_sales.py", operation: "create", additions: 18, deletions: 0 }),
  entry({ kind: "turn_ended", end: "completed", duration_ms: 41800 }),
];

const started = { turn_id: T2, agent: "goose", ts: Date.now() - 73_000 };
const RUNNING = [
  entry({ kind: "turn_started", agent: "goose", model: "qwen3-coder" }, started),
  entry({ kind: "user_message", text: "Now remove the cache." }, started),
  entry({ kind: "error", message: "The model's host answered 529 (overloaded) and the agent tries again. Wait, or choose another model with model=.", code: "overloaded", retryable: true }, started),
  entry({ kind: "reasoning", text: "The cache is written in two places.\nI should check whether the directory is ours before deleting anything", }, { ...started, open: true }),
  entry({ kind: "tool_call", name: "terminal", tool_kind: "execute", title: "delete", input: { command: "rm -rf /tmp/sales-cache" }, status: "in_progress" }, { ...started, open: true }),
  entry({ kind: "permission", request_id: "p1", title: "Delete /tmp/sales-cache", tool: "terminal", tool_kind: "execute", input: { command: "rm -rf /tmp/sales-cache \u202e/emoh/\u202c\u200b && echo done", description: "Removes the cache" }, diffs: [{ path: "sales/cache.py", old: "CACHE = True\nPATH = '/tmp/sales-cache'\n", new: "CACHE = False\n" }], options: [{ id: "a", label: "Allow once", kind: "allow_once" }, { id: "b", label: "Always allow", kind: "allow_always" }, { id: "c", label: "Reject", kind: "reject_once" }] }, { ...started, open: true }),
];
const QUESTION = { kind: "question", request_id: "que_1", text: "Where should the cache go?", choices: [{ id: "disk", label: "On disk", description: "survives a restart" }, { id: "memory", label: "In memory" }, { id: "none", label: "Nowhere" }] };
const ASKING = [
  entry({ ...QUESTION, request_id: "que_0", text: "Which months?", status: "answered", answer: ["January", "May"], by: "ana", waited_ms: 3200 }, started),
  entry({ ...QUESTION, request_id: "que_0", text: "May I look at last year, too?", status: "declined", by: "nobody" }, started),
  entry(QUESTION, { ...started, open: true }),
];
const ENDS = ["cancelled", "failed", "refused", "limited", "interrupted"].flatMap((end, index) => {
  const more = { turn_id: `t-${end}`, agent: ["claude", "qwen", "codex", "gemini", "native"][index] };
  return [
    entry({ kind: "turn_started", agent: more.agent }, more),
    entry({ kind: "user_message", text: `This turn will be ${end}.` }, more),
    entry({ kind: "turn_ended", end, duration_ms: 800 * (index + 1), message: end === "failed" ? "The agent ended by itself with exit code 1. See its last words above, then prompt again." : "" }, more),
  ];
});

const hunk = (old_start, new_start, ...lines) => ({ old_start, new_start, old_lines: lines.filter((l) => l[0] !== "+").length, new_lines: lines.filter((l) => l[0] !== "-").length, lines });
const change = (id, path, more) => ({ id, session_id: "s", chat_id: CHAT, turn_id: T1, path, operation: "edit", agent: "opencode", ...more });
const CHANGES = [
  change("c1", "sales/load.py", { additions: 4, deletions: 2, hunks: [hunk(1, 1, "+from pathlib import Path", "+", " import pandas as pd", " ", " "), hunk(14, 16, " def load(path):", '-    frame = pd.read_csv(path)', '-    return frame.set_index("day")', '+    frame = pd.read_csv(path, parse_dates=["day"])  # was: strings', '+    return frame.set_index("day").sort_index()', " ", " class Cache(dict[str, int]):", "     LIMIT = 10_000")] }),
  change("c2", "tests/test_sales.py", { operation: "create", agent: "goose", additions: 4, deletions: 0, hunks: [hunk(0, 1, "+import pandas as pd", "+", "+def test_january_is_there(tmp_path):", "+    assert load(tmp_path / 'a.csv').index.is_monotonic_increasing")] }),
  change("c3", "sales/a/rather/long/folder/of/things/old_cache.py", { operation: "delete", status: "conflict", note: "The checkout's file changed since the turn began. Commit or undo that change, then apply again.", additions: 0, deletions: 2, hunks: [hunk(1, 0, "-CACHE = True", "-PATH = '/tmp/sales-cache'")] }),
  change("c4", "data/logo.png", { binary: true, status: "applied" }),
  change("c5", "README.md", { status: "rejected", additions: 1, deletions: 1, hunks: [hunk(1, 1, "-# Sale", "+# Sales")] }),
];
/** A review under way: some hunks decided, a notebook, an image, a conflict, a comment. */
const LOADER = [...Array(60).keys()].map((n) => `row_${n} = read(${n})`);
const REVIEW = [
  change("r1", "sales/load.py", { turn_id: T1, additions: 3, deletions: 3, hunks: [
    { ...hunk(14, 14, ...LOADER.slice(13, 16).map((l) => ` ${l}`), "-frame = pd.read_csv(path, index_col=0)", '+frame = pd.read_csv(path, index_col=0, parse_dates=["day"])', ...LOADER.slice(17, 20).map((l) => ` ${l}`)), id: "h1" },
    { ...hunk(40, 40, ...LOADER.slice(39, 42).map((l) => ` ${l}`), '-    return frame.set_index("day")', '-    # TODO sort', '+    return frame.set_index("day").sort_index()', '+    # sorted since 🎉 January', ...LOADER.slice(44, 47).map((l) => ` ${l}`)), id: "h2" },
  ] }),
  change("r2", "sales/load.py", { status: "applied", additions: 1, deletions: 1, hunks: [{ ...hunk(1, 1, "-import pandas", "+import pandas as pd", " ", " "), id: "h0" }] }),
  change("r3", "notebooks/01-sales.ipynb", { agent: "goose", additions: 9, deletions: 4, hunks: [{ ...hunk(10, 10, '-    "total = frame.sum()\\n"', '+    "total = frame.amount.sum()\\n"'), id: "h3" }], cells: [
    { operation: "edit", cell_type: "code", number: 3, cell_id: "a", note: "Its outputs were cleared.", hunks: [hunk(1, 1, " import pandas as pd", "-total = frame.sum()", "+total = frame.amount.sum()", " total")] },
    { operation: "create", cell_type: "markdown", number: 4, cell_id: "b", hunks: [hunk(0, 1, "+# What January was", "+", "+It was *missing*.")] },
    { operation: "delete", cell_type: "code", number: 7, cell_id: "c", hunks: [hunk(1, 0, "-print(frame)")] },
  ] }),
  change("r4", "data/logo.png", { binary: true, agent: "goose" }),
  change("r5", "sales/cache.py", { additions: 1, deletions: 1, hunks: [{ ...hunk(1, 1, " import os", "-LIMIT = 10_000", "+LIMIT = 20_000"), id: "h5" }] }),
  change("r6", "bin/run", { operation: "rename", old_path: "scripts/run.sh", old_mode: "100644", new_mode: "100755", additions: 0, deletions: 0 }),
];
const PREVIEWS = [
  { change_id: "r1", outcome: "merges", note: "Your file has changed since, elsewhere: both changes will be kept." },
  { change_id: "r5", outcome: "conflict", note: "sales/cache.py has changed in the checkout around line 2 where this change would land: nothing was written.", clashes: [{ line: 2, base: ["LIMIT = 10_000"], yours: ["LIMIT = 5_000  # mine"], theirs: ["LIMIT = 20_000"] }] },
];
const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==";
const REVIEWED = { preview: PREVIEWS, "content?side=old": { media_type: "image/png", size: 85, base64: DOT }, "content?side=new": { media_type: "image/png", size: 85, base64: DOT, text: LOADER.join("\n") + "\n" } };
const AGENTS = [
  { name: "opencode", label: "opencode", backend: "acp", available: true, version: "1.1.20", icon: "opencode", default: true },
  { name: "goose", label: "goose", backend: "acp", available: true, version: "1.20.0", icon: "goose" },
  { name: "claude", label: "Claude", backend: "claude", available: false, reason: "It is off.", cure: "Set c.CoderApp.agents to enable it.", icon: "claude" },
];
const OFFERS = [
  { agent: "opencode", memory: "resumed", told: true, model: "zai/glm-4.7", carries: 5_000_000, modes: ["plan", "ask", "accept_edits", "bypass"], images: true, files: true, models: [{ id: "zai/glm-4.7", label: "GLM 4.7" }, { id: "zai/glm-4.7-air", label: "GLM 4.7 Air" }, { id: "openai/gpt-5.6", label: "GPT 5.6" }], efforts: { "zai/glm-4.7": ["low", "high"], "openai/gpt-5.6": ["minimal", "low", "medium", "high"] } },
  { agent: "goose", memory: "history", told: true, carries: 5_000_000, modes: ["plan", "ask", "accept_edits"], images: false, files: true },
  { agent: "claude", memory: "new", told: true, carries: 5_000_000 },
];
const USAGE = [
  ...DONE.filter((e) => e.body.kind === "usage").map(({ id, chat_id, turn_id, agent, ts, body: { kind, ...figures } }) => ({ entry_id: id, chat_id, session_id: "s", turn_id, agent, ts, ...figures })),
  { entry_id: "u9", chat_id: CHAT, session_id: "s", turn_id: T2, agent: "goose", ts: NOW + 100_000, tokens: { input: 1200, output: 80 }, model: "qwen3-coder", cost_nanousd: 410000, cost_source: "computed" },
  { entry_id: "u10", chat_id: CHAT, session_id: "s", turn_id: "tr", agent: "replay", ts: NOW + 200_000, tokens: { input: 9000, output: 812, cache_read: 0 }, model: "recorded", cost_nanousd: 31000000, cost_source: "reported", counted: false },
];
const MIB = 1 << 20;
const ago = (seconds) => Date.now() - seconds * 1000;
const POOL = [
  { key: "server.1", agent: "opencode", state: "idle", chats: 3, pid: 4101, started_at: ago(5423), last_active_at: ago(4), memory: 812 * MIB },
  { key: `${CHAT}.opencode`, agent: "opencode", state: "busy", chat_id: CHAT, started_at: ago(431), last_active_at: ago(12), title: "The monthly totals in sales/ are wrong for January. Find out why, fix it, and add a test" },
  { key: `${CHAT}.goose`, agent: "goose", state: "waiting", chat_id: CHAT, pid: null, restarts: 3, why: "goose stopped working: it ended with exit code 137, saying “out of memory”. Prompt again to start it afresh.", retry_at: Date.now() + 8000, title: "Now remove the cache." },
  { key: "01jd0000000000000000000002.qwen", agent: "qwen", state: "deaf", chat_id: "01jd0000000000000000000002", pid: 4212, started_at: ago(801), last_active_at: ago(300), memory: 1.4 * 1024 * MIB, title: "/home/ana/shop" },
  { key: "01jd0000000000000000000003.codex", agent: "codex", state: "broken", chat_id: "01jd0000000000000000000003", restarts: 4, why: "It ended by itself too often: only a prompt starts it.", title: "What does the cache do?" },
];
const LOG = { key: "x", happenings: [
  { ts: ago(801), word: "agent_started", text: "pid=4201 resumed=new ms=2104" },
  { ts: ago(600), word: "turn_ended", text: "turn=01jd00000000000000000000t1 end=completed ms=41800" },
  { ts: ago(10), word: "agent_crashed", text: "pid=4201" },
], stderr: "warning: the model's host is slow\nTypeError: cannot read properties of undefined (reading 'id')\n    at run (/usr/lib/agent/main.js:1042:17)\n" };
const OFFERING = [
  entry({ kind: "turn_started", agent: "opencode" }, started),
  entry({ kind: "permission", request_id: "p2", title: "Run the tests", tool: "terminal", tool_kind: "execute", input: { command: "pytest -q tests/test_sales.py" }, options: [{ id: "a", label: "Allow once", kind: "allow_once" }, { id: "c", label: "Reject", kind: "reject_once" }], offers: [{ id: "commands", label: "pytest …", text: "commands that begin with `pytest`" }, { id: "line", label: "pytest -q tests/test_sales.py", text: "exactly `pytest -q tests/test_sales.py`" }], scopes: ["session", "project", "everywhere"] }, { ...started, open: true }),
];
const RULES = [
  { id: "01jr1", does: "allow", covers: { of: "commands", words: ["git", "status"] }, scope: "project", by: "ana" },
  { id: "01jr2", does: "deny", covers: { of: "commands", words: ["rm"] }, scope: "everywhere", by: "ana" },
  { id: "01jr3", does: "allow", covers: { of: "edits", path: "tests/" }, scope: "session", by: "ana" },
];
const SESSION = { id: "s", owner: "ana", path: "/home/ana/shop", worktree: "/home/ana/.local/share/worktrees/s", branch: "main" };
const QUEUED = [{ id: "q1", text: "And update the README.", agent: "opencode" }, { id: "q2", text: "Then show me the totals for every month of last year, as a table, sorted by how far they were off before the fix.", agent: "goose" }];

/** A kernel that tells one chat, over comm messages. */
function kernel(traits, { chat = {}, entries = [], changes = CHANGES, refuse, may_execute = true, replies: more } = {}) {
  const listeners = new Map();
  const all = { view: "transcript", chat_id: chat.id, turn_id: "", runtime_id: "gallery", snapshot: {}, options: {}, ...traits };
  const emit = (message) => queueMicrotask(() => (listeners.get("msg:custom") ?? []).forEach((one) => one(message)));
  const info = { id: CHAT, session_id: "s", run_status: "idle", ...chat };
  const replies = { agents: AGENTS, usage: USAGE, offers: [], ...more };
  const model = {
    emit,
    refuse,
    replies,
    sent: [],
    get: (name) => all[name],
    on: (name, callback) => listeners.set(name, [...(listeners.get(name) ?? []), callback]),
    off: (name, callback) => listeners.set(name, (listeners.get(name) ?? []).filter((one) => one !== callback)),
    send(message) {
      model.sent.push(message);
      if (message.op === "hello") {
        const hello = { type: "hello", protocol: 1, runtime_id: "gallery", epoch: "1", chat: info, session: SESSION, may_execute, first_pos: entries[0]?.pos ?? 0 };
        emit({ op: "frames", seq: 0, frames: [hello, { type: "page", page: { entries, rev: pos } }, { type: "changes", changes }] });
      } else if (message.op === "call" && !message.route.endsWith("attend")) {
        const route = message.route.split("/").at(-1);
        const failed = message.method === "POST" && (typeof model.refuse === "object" ? model.refuse[route]?.shift() : model.refuse && { code: "x", message: model.refuse });
        emit({ op: "reply", id: message.id, status: failed ? 409 : 200, body: failed || (replies[route] ?? { done: true }) });
      }
    },
  };
  return model;
}

let chats = 1;
const nextChat = () => `01jd${String(++chats).padStart(22, "0")}`;

function section(title) {
  const box = document.createElement("section");
  box.innerHTML = `<h2></h2><div></div>`;
  box.firstChild.textContent = title;
  box.dataset.title = title;
  document.querySelector("main").append(box);
  return box.lastChild;
}
const live = (title, traits, script = {}) => {
  const id = nextChat();
  const model = kernel(traits, { ...script, chat: { id, ...script.chat } });
  model.root = section(title);
  model.close = widget.render({ model, el: model.root });
  return model;
};
const saved = (title, snapshot) => standalone(section(title), { version: 1, session: SESSION, ...snapshot, chat: { id: nextChat(), session_id: "s", ...snapshot.chat } });

/** Attaches files as somebody does who drops them. */
function attach(box, files) {
  const carried = new DataTransfer();
  for (const file of files) carried.items.add(file);
  const target = box.querySelector(".coder-nb-view").shadowRoot.querySelector(".composer-box");
  target.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}

const TALL = { options: { max_height: "none" } };

if (query.has("blank")) {
  // For tests, which put in what they look at.
  window.gallery = { hunk, change, REVIEW, REVIEWED, live, saved, entry, DONE, RUNNING, ASKING, QUESTION, CHANGES, QUEUED, OFFERS, attach, T2, POOL, LOG };
} else if (!query.has("many")) {
  saved("A finished turn, saved", { ...TALL, entries: DONE, changes: CHANGES, usage: USAGE.slice(0, 2) });
  live("A running turn that asks a question", { ...TALL, view: "transcript" }, { chat: { run_status: "running", turn_id: T2 }, entries: ASKING });
  live("A running turn that asks", { ...TALL, view: "transcript" }, { chat: { run_status: "running", turn_id: T2, queued: QUEUED }, entries: RUNNING });
  live("A permission that may become a rule", TALL, { chat: { run_status: "running", turn_id: T2 }, entries: OFFERING, replies: { rules: RULES } });
  live("Ends", TALL, { chat: { held: true, queued: QUEUED.slice(0, 1) }, entries: ENDS });
  live("Nothing yet", {}, {});
  live("Composer", { view: "composer" }, { chat: { run_status: "running", turn_id: T2, queued: QUEUED } });
  const going = live("Composer in a chat that goes on", { view: "composer" }, { replies: { offers: OFFERS } });
  live("Composer, refused", { view: "composer" }, { refuse: "Agent 'opencode' is not installed here. Install it with: npm install -g opencode-ai" });
  live("Changes", { view: "diff", ...TALL }, {});
  saved("Changes, saved", { view: "diff", changes: CHANGES.slice(0, 1), entries: [] });
  live("Changes under review", { view: "diff", ...TALL }, { changes: REVIEW, replies: REVIEWED });
  saved("No changes", { view: "diff", changes: [] });
  live("Usage", { view: "usage" }, {});
  saved("No usage", { view: "usage" });
  live("Pool", { view: "pool", snapshot: { pool: POOL } }, { replies: { pool: POOL, log: LOG } });
  live("Empty pool", { view: "pool", snapshot: { pool: [] } }, { replies: { pool: [] } });
  for (let frames = 0; frames < 5; frames++) await new Promise(requestAnimationFrame);
  attach(going.root, [new File([Uint8Array.from(atob(DOT), (c) => c.charCodeAt(0))], "totals.png", { type: "image/png" }), new File(["day,amount\n"], "sales-of-january.csv", { type: "text/csv" })]);
  if (query.has("open")) {
    // Everything that unfolds is unfolded in this picture, and a refusal is shown.
    const refused = document.querySelector("[data-title='Composer, refused'] .coder-nb-view").shadowRoot;
    refused.querySelector("textarea").value = "Make it faster";
    refused.querySelector("button.primary").click();
    const pool = document.querySelector("[data-title='Pool'] .coder-nb-view").shadowRoot;
    pool.querySelectorAll("[aria-expanded]")[2].click();
    const rule = document.querySelector("[data-title='A permission that may become a rule'] .coder-nb-view").shadowRoot;
    for (const one of rule.querySelectorAll(".card-foot [aria-expanded], .head [aria-expanded], header [aria-expanded]")) one.click();
    for (const host of document.querySelectorAll(".coder-nb-view")) for (const one of host.shadowRoot.querySelectorAll("details")) one.open = true;
  }
} else {
  // A long chat that streams: what `benchmarks` and the test of 10,000 entries look at.
  const n = Number(query.get("many"));
  const long = Array.from({ length: n }, (_, i) => (i % 3 ? entry({ kind: "tool_call", name: "file_read", tool_kind: "read", title: `src/module_${i}.py`, status: "completed", content: "x = 1\n".repeat(20) }) : entry({ kind: "text", text: `Step **${i}** reads \`module_${i}\` and goes on.\n\n- one\n- two` })));
  const open = entry({ kind: "text", text: "" }, { open: true });
  const model = live("Many", {}, { chat: { run_status: "running", turn_id: T1 }, entries: [entry({ kind: "turn_started", agent: "opencode" }), ...long, open].sort((a, b) => a.pos - b.pos) });
  window.gallery = { model, open, streamed: 0 };
  window.stream = (text, seq) => {
    model.emit({ op: "frames", seq, frames: [{ type: "delta", deltas: [{ epoch: "1", entry_id: open.id, offset: window.gallery.streamed, text }] }] });
    window.gallery.streamed += text.length;
  };
}
document.body.dataset.ready = "yes";
