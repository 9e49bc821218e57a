/** Markdown of agents → DOM that is safe to show, also in a notebook that is not trusted. */

import createPurifier from "dompurify";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { Lexer, Marked, Parser, type Token } from "marked";
import { h } from "./dom.ts";

const LANGUAGES = { bash, cpp, diff, go, ini, javascript, json, markdown, python, r, rust, sql, typescript, xml, yaml };
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.configure({ classPrefix: "hl-" });

const OF_SUFFIX = new Map(Object.entries({
  py: "python", pyi: "python", js: "javascript", mjs: "javascript", jsx: "javascript", ts: "typescript", tsx: "typescript",
  json: "json", ipynb: "json", sh: "bash", bash: "bash", zsh: "bash", md: "markdown", yml: "yaml", yaml: "yaml", html: "xml", xml: "xml",
  svg: "xml", sql: "sql", r: "r", toml: "ini", ini: "ini", cfg: "ini", c: "cpp", h: "cpp", cc: "cpp", cpp: "cpp", hpp: "cpp",
  go: "go", rs: "rust", diff: "diff", patch: "diff",
}));
const HIGHLIGHT_LIMIT = 40_000;
/** A longer paragraph is shown without its emphasis and links, as finding these may take time by the square of its length. */
const INLINE_LIMIT = 5_000;

/** Code as HTML of ours: escaped text and spans with `hl-` classes, nothing else. */
export function highlight(code: string, language: string | undefined): string {
  if (language && code.length <= HIGHLIGHT_LIMIT && hljs.getLanguage(language)) {
    return hljs.highlight(code, { language, ignoreIllegals: true }).value;
  }
  return escape(code);
}

/** The same line by line: what spans several lines, such as a long string, is coloured in each. */
export function highlightLines(lines: readonly string[], language: string | undefined): string[] {
  const open: string[] = [];
  return highlight(lines.join("\n"), language)
    .split("\n")
    .map((html) => {
      const before = open.join("");
      for (const [tag] of html.matchAll(/<span[^>]*>|<\/span>/g)) {
        if (tag === "</span>") open.pop();
        else open.push(tag);
      }
      return before + html + "</span>".repeat(open.length);
    });
}

export function languageOf(path: string): string | undefined {
  return OF_SUFFIX.get(path.slice(path.lastIndexOf(".") + 1).toLowerCase());
}

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

const marked = new Marked({
  gfm: true,
  breaks: false,
  renderer: {
    code({ text, lang }) {
      const language = lang?.trim().split(/[\s{,:]/)[0]?.toLowerCase();
      return `<pre><code>${highlight(text, language && (OF_SUFFIX.get(language) ?? language))}</code></pre>`;
    },
    image({ href, text, title }) {
      // A remote image would tell its host what is read here, and when: it is offered as a link instead.
      if (/^data:image\/(png|jpeg|gif|webp);/i.test(href)) return `<img src="${escape(href)}" alt="${escape(text)}">`;
      return `<a href="${escape(href)}"${title ? ` title="${escape(title)}"` : ""}>${escape(text || href)}</a>`;
    },
    checkbox({ checked }) {
      return checked ? "☑ " : "☐ ";
    },
  },
});

class BoundedLexer extends Lexer {
  override inlineTokens(source: string, tokens: Token[] = []): Token[] {
    if (source.length <= INLINE_LIMIT) return super.inlineTokens(source, tokens);
    tokens.push({ type: "text", raw: source, text: source, escaped: false });
    return tokens;
  }
}

function parsed(text: string): string {
  try {
    return Parser.parse(new BoundedLexer(marked.defaults).lex(text), marked.defaults);
  } catch {
    return `<pre>${escape(text)}</pre>`; // what is nested too deep for the parser's stack
  }
}

function blocksOf(text: string): Token[] {
  try {
    return new BoundedLexer(marked.defaults).lex(text);
  } catch {
    return [{ type: "text", raw: text, text, escaped: false }];
  }
}

let purifier: ReturnType<typeof createPurifier> | undefined;

function purify(html: string): DocumentFragment {
  if (!purifier) {
    purifier = createPurifier(window);
    purifier.addHook("afterSanitizeAttributes", hardenLinks);
  }
  return purifier.sanitize(html, {
    RETURN_DOM_FRAGMENT: true,
    USE_PROFILES: { html: true },
    FORBID_TAGS: ["form", "input", "button", "textarea", "select", "option", "style", "iframe", "object", "embed", "audio", "video", "source", "picture", "dialog", "link", "meta", "base", "map", "area", "svg", "math", "bdo", "marquee"],
    FORBID_ATTR: ["style", "id", "name", "role", "srcset", "background", "poster", "ping", "action", "formaction", "tabindex", "autofocus", "popover", "popovertarget", "accesskey", "contenteditable"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

function hardenLinks(node: Element): void {
  if (node.tagName === "A") {
    if (!/^(https?:|mailto:)/i.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  } else if (node.tagName === "IMG" && !/^data:image\/(png|jpeg|gif|webp);/i.test(node.getAttribute("src") ?? "")) {
    node.remove();
  }
  for (const name of [...node.classList]) if (!name.startsWith("hl-")) node.classList.remove(name);
}

/** The DOM of a whole text. */
export function render(text: string): DocumentFragment {
  const fragment = purify(parsed(text));
  for (const table of fragment.querySelectorAll("table")) {
    const frame = h("div", { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  return fragment;
}

/**
 * A text that grows: what is certain not to change any more is rendered once, and only its last block again and again.
 *
 * `settle` renders the whole at the end, because a reference defined below may change a block above.
 */
export class GrowingMarkdown {
  readonly element: HTMLElement = h("div", { class: "markdown" });
  private readonly tail: HTMLElement = h("div", { class: "markdown-tail" });
  private done = 0;
  private text = "";
  private settled = false;

  update(growing: string): void {
    const text = growing.replace(/\r\n?/g, "\n");
    if (text === this.text && !this.settled) return;
    if (this.settled || !text.startsWith(this.text.slice(0, this.done))) this.restart();
    this.text = text;
    const blocks = blocksOf(text.slice(this.done));
    while (blocks.length > 1 && blocks.at(-1)!.type === "space") blocks.pop();
    const certain = blocks.slice(0, -1).map((block) => block.raw).join("");
    if (certain.trim() !== "" && text.startsWith(certain, this.done)) {
      this.tail.before(render(certain));
      this.done += certain.length;
    }
    this.tail.replaceChildren(render(text.slice(this.done)));
  }

  settle(text: string): void {
    if (this.settled && text === this.text) return;
    this.text = text;
    this.settled = true;
    this.element.replaceChildren(render(text));
  }

  private restart(): void {
    this.settled = false;
    this.done = 0;
    this.element.replaceChildren(this.tail);
  }

  constructor() {
    this.element.append(this.tail);
  }
}
