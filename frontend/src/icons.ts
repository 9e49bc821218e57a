/** Glyphs, all drawn here: one for each kind of tool, state and agent. Agents have signs of ours, not their makers' marks. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS: Record<string, string> = {
  read: "M4 2.5h5.5L12.5 5.5V13.5H4zM9.5 2.5V5.5h3M6 8h4.5M6 10.5h4.5",
  edit: "M3 13l.6-2.7L10.7 3.2l2.1 2.1-7.1 7.1zM9.3 4.6l2.1 2.1",
  delete: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.5 9h6l.5-9M6.8 7v4M9.2 7v4",
  move: "M2.5 8h10M9 4.5L12.5 8 9 11.5",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3L13.5 13.5",
  execute: "M2.5 3h11v10h-11zM5 6l2 2-2 2M8.5 10.2H11",
  think: "M6 11.5h4M6.5 13.5h3M8 2.3a4 4 0 0 0-2.3 7.2c.4.3.6.7.6 1.2v.8h3.4v-.8c0-.5.2-.9.6-1.2A4 4 0 0 0 8 2.3z",
  fetch: "M8 13.7A5.7 5.7 0 1 0 8 2.3a5.7 5.7 0 0 0 0 11.4zM2.5 8h11M8 2.3c2 1.7 2.5 3.7 2.5 5.7S10 12 8 13.7C6 12 5.5 10 5.5 8S6 4 8 2.3z",
  switch_mode: "M5.5 4.5h5a3.5 3.5 0 0 1 0 7h-5a3.5 3.5 0 0 1 0-7zM5.5 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3z",
  other: "M9.8 2.8a3.2 3.2 0 0 0-3.9 4.3L2.7 10.3a1.9 1.9 0 0 0 2.8 2.8l3.3-3.2a3.2 3.2 0 0 0 4.2-4l-2 1.9-2.1-.6-.6-2z",
  plan: "M2.5 4l1 1 1.7-2M2.5 8l1 1 1.7-2M2.5 12l1 1 1.7-2M7.5 4.2h6M7.5 8.2h6M7.5 12.2h6",
  back: "M6 3L2.8 6.2 6 9.4M2.8 6.2h6.4a3.6 3.6 0 0 1 0 7.2H6.5",
  check: "M3 8.5L6.5 12 13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  dash: "M4 8h8",
  chevron: "M6 3.5L10.5 8 6 12.5",
  down: "M3.5 6L8 10.5 12.5 6",
  stop: "M4.5 4.5h7v7h-7z",
  send: "M8 13V3M3.8 7.2L8 3l4.2 4.2",
  warning: "M8 2.5l6 10.7H2zM8 6.5v3.2M8 11.4v.4",
  info: "M8 13.7A5.7 5.7 0 1 0 8 2.3a5.7 5.7 0 0 0 0 11.4zM8 7.3v3.7M8 5v.4",
  question: "M8 13.7A5.7 5.7 0 1 0 8 2.3a5.7 5.7 0 0 0 0 11.4zM6.2 6.4a1.9 1.9 0 1 1 2.7 1.8c-.6.3-.9.6-.9 1.2M8 11.2v.4",
  lock: "M4 7.3h8v6H4zM5.7 7.3V5.2a2.3 2.3 0 0 1 4.6 0v2.1",
  clock: "M8 13.7A5.7 5.7 0 1 0 8 2.3a5.7 5.7 0 0 0 0 11.4zM8 4.8V8l2.2 1.5",
  clip: "M10.8 4.8L6.1 9.5a1.4 1.4 0 0 0 2 2l4.9-4.9a2.8 2.8 0 0 0-4-4L4 7.7a4.2 4.2 0 0 0 6 6l3.6-3.6",
  file: "M4 2.5h5.5L12.5 5.5v8H4zM9.5 2.5v3h3",
};

const AGENTS: Record<string, { color: string; path: string }> = {
  opencode: { color: "#3d4757", path: "M5.5 4H4v8h1.5M10.5 4H12v8h-1.5M7 8h2" },
  claude: { color: "#9a4528", path: "M11.5 5.2A4.2 4.2 0 1 0 11.5 10.8M8 8h4" },
  goose: { color: "#6a5416", path: "M3 10.5c2.5 0 3.5-2 5-5 1.5 3 2.5 5 5 5M8 5.5v6" },
  qwen: { color: "#5a40bd", path: "M8 3.2l4.2 2.4v4.8L8 12.8l-4.2-2.4V5.6zM9 9l2.5 2" },
  codex: { color: "#0a6857", path: "M4 5l3 3-3 3M8.5 11.5H12" },
  gemini: { color: "#1c5bb8", path: "M5 3.5v9M11 3.5v9M3.5 3.5h9M3.5 12.5h9" },
  native: { color: "#85420a", path: "M5 3.5h7v9H5zM5 3.5v9M3.5 5.5H5M3.5 8H5M3.5 10.5H5M7.5 6.5h2.5" },
  replay: { color: "#74386f", path: "M6 4.5v7l5.5-3.5z" },
};

function svg(className: string): SVGSVGElement {
  const element = document.createElementNS(SVG, "svg");
  element.setAttribute("viewBox", "0 0 16 16");
  element.setAttribute("class", className);
  element.setAttribute("aria-hidden", "true");
  element.setAttribute("focusable", "false");
  return element;
}

function shape(name: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export function icon(name: string): SVGSVGElement {
  const element = svg(`icon icon-${name}`);
  element.append(shape("path", { d: PATHS[name] ?? PATHS["other"]! }));
  return element;
}

export function spinner(): SVGSVGElement {
  const element = svg("icon spinner");
  element.append(shape("path", { d: "M8 2.3a5.7 5.7 0 1 1-5.7 5.7" }));
  return element;
}

/** An agent's sign; one that is not known gets the first letters of its name on a colour of its own. */
export function agentIcon(name: string): SVGSVGElement {
  const known = Object.hasOwn(AGENTS, name.toLowerCase()) ? AGENTS[name.toLowerCase()] : undefined;
  const element = svg("agent-icon");
  element.append(shape("rect", { x: "0", y: "0", width: "16", height: "16", rx: "4", fill: known?.color ?? colorOf(name) }));
  if (known) {
    element.append(shape("path", { d: known.path }));
  } else {
    const letters = shape("text", { x: "8", y: "8.3", "text-anchor": "middle", "dominant-baseline": "central", fill: "#ffffff" });
    const initials = name.replace(/[^\p{L}\p{N}]/gu, "").slice(0, 2);
    letters.textContent = initials.charAt(0).toUpperCase() + initials.slice(1) || "?";
    element.append(letters);
  }
  return element;
}

const LABELS: Record<string, string> = { claude: "Claude", codex: "Codex", gemini: "Gemini CLI", native: "Native", qwen: "Qwen Code", replay: "Replay" };

export function agentLabel(name: string): string {
  return Object.hasOwn(LABELS, name) ? LABELS[name]! : name;
}

function colorOf(name: string): string {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)!) % 360;
  return `hsl(${hash} 45% 30%)`;
}
