/** The card of a permission: what the agent wants to do, whole, and the answers that it offers. */

import type { Chat } from "../chat.ts";
import { button, h, plainText, quotingText } from "../dom.ts";
import { icon } from "../icons.ts";
import { duration } from "../text.ts";
import type { Entry, Option, Permission, Scope } from "../wire.ts";
import { type Context, folding } from "./entry.ts";
import { diffTable } from "./difftable.ts";
import { ErrorLine, hunksOf, inputValue } from "./pieces.ts";
import { choices, SCOPES } from "./rules.ts";

/** For so long after a card has appeared its keys do nothing: who was typing did not mean it. */
const DEAF_MS = 600;

export function permissionRow(context: Context) {
  const element = h("div");
  let shown = "";
  return {
    element,
    update(body: Permission, entry: Entry) {
      const status = body.status ?? "pending";
      const state = `${status} ${context.chat.canAct} ${body.offers?.length ?? 0}`;
      if (state === shown) return;
      shown = state;
      if (status === "pending") {
        element.replaceChildren(card(body, context));
        context.announce(`The agent asks: ${body.title || body.tool || "may it go on?"}`);
      } else {
        const focused = element.matches(":focus-within");
        element.replaceChildren(answered(body, entry, context));
        if (focused) element.querySelector("summary")?.focus({ preventScroll: true }); // who answers by keys stays here
      }
    },
  };
}

function card(body: Permission, context: Context): HTMLElement {
  const since = Date.now();
  const errors = new ErrorLine();
  const buttons: HTMLButtonElement[] = [];
  const foot = h("div", { class: "card-foot" });
  const answer = async (option: Option | null, always?: { offer: string; scope: Scope }) => {
    for (const one of buttons) one.setAttribute("aria-disabled", "true");
    errors.show("");
    try {
      const done = await context.chat.answer(body.request_id, option?.id ?? null, always);
      if (!done) errors.show("This was answered already.");
    } catch (error) {
      errors.show(error);
      for (const one of buttons) one.removeAttribute("aria-disabled");
    }
  };
  const add = (name: string, sign: string, tone: string, chosen: () => void) => {
    const key = String(buttons.length + 1);
    const one = h(
      "button",
      { type: "button", class: tone, "aria-keyshortcuts": key },
      icon(sign),
      h("span", {}, plainText(name)),
      h("kbd", { "aria-hidden": "true" }, key),
    );
    one.addEventListener("click", () => one.getAttribute("aria-disabled") !== "true" && chosen());
    buttons.push(one);
    return one;
  };
  const rule = ruleForm(body, answer);
  for (const option of body.options?.length ? body.options : [null]) {
    const allows = option?.kind.startsWith("allow") ?? false;
    const tone = option?.kind === "allow_once" ? "primary" : allows ? "" : "quiet";
    add(option?.label || option?.id || "Refuse", allows ? "check" : "cross", tone, () => void answer(option));
    if (!rule || option !== rule.option) continue;
    const open = add(`Always allow ${body.offers![0]!.label}`, "check", "", () => {
      rule.element.hidden = !rule.element.hidden;
      open.setAttribute("aria-expanded", String(!rule.element.hidden));
      (rule.element.hidden ? open : rule.element.querySelector("input"))?.focus();
    });
    open.setAttribute("aria-expanded", "false");
    rule.element.addEventListener("keydown", (event) => event.key === "Escape" && open.click());
  }
  if (context.chat.canAct) foot.append(...buttons, h("span", { class: "hint" }, "Keys work while this card has the focus"));
  else foot.append(h("span", { class: "muted" }, context.chat.live ? "You may look at this chat, not answer for it." : "Was not answered when this view was saved."));
  const title = h("span", { class: "label" });
  title.append(plainText(body.title || "The agent asks for permission"));
  const element = h("div", { class: "card", tabindex: 0, role: "group", "aria-label": `Permission: ${body.title || body.tool || ""}` });
  element.append(h("div", { class: "card-head" }, icon("lock"), title, ...(body.tool ? [h("span", { class: "tag" }, plainText(body.tool))] : [])), ...what(body, context.chat), foot, ...(rule ? [rule.element] : []), errors.element);
  element.addEventListener("keydown", (event) => {
    const chosen = buttons[Number(event.key) - 1];
    if (!chosen || rule?.element.contains(event.target as Node) || event.ctrlKey || event.metaKey || event.altKey || Date.now() - since < DEAF_MS) return;
    event.preventDefault();
    chosen.click();
  });
  return element;
}

/** What is chosen where an answer is to hold from now on: what exactly it covers, and where it holds. */
function ruleForm(body: Permission, answer: (option: Option, always: { offer: string; scope: Scope }) => Promise<void>) {
  const option = body.options?.find((one) => one.kind === "allow_once");
  const { offers, scopes } = body;
  if (!option || !offers?.length || !scopes?.length) return null;
  const what = choices("What is allowed without asking", offers.map((offer) => [offer.id, offer.text]));
  const where = choices("Where", scopes.map((scope) => [scope, SCOPES[scope]]));
  const onclick = () => void answer(option, { offer: what.chosen(), scope: where.chosen() as Scope });
  const allow = button("Always allow this", { class: "primary", onclick }, icon("check"));
  const hint = h("span", { class: "hint" }, "Kept by coder-nb, never in your project. You can end it at any time.");
  const foot = h("div", { class: "rule-foot" }, allow, hint);
  const element = h("div", { class: "rule-form", role: "group", "aria-label": "Always allow", hidden: true }, what.element, where.element, foot);
  return { element, option };
}

/** Everything that would be allowed, to its last character; of an edit the diff, with the call as it came folded. */
function what(body: Permission, chat: Chat): Node[] {
  const diffs = (body.diffs ?? []).map((diff) => {
    const path = chat.shown(diff.path);
    const caption = ![path, diff.path].includes(body.title ?? "") && h("div", { class: "caption" }, plainText(path));
    return h("div", { class: "section" }, caption, diffTable(hunksOf(diff), diff.path));
  });
  const input = inputValue(body.input);
  if (!input) return diffs;
  // Only a call that does nothing but edit is told by its diff: a command is never out of sight.
  if (!diffs.length || body.tool_kind !== "edit") return [h("div", { class: "section" }, input), ...diffs];
  const call = folding("call", [h("span", {}, "The call as the agent made it")], (inside) => inside.replaceChildren(input));
  return [...diffs, h("div", { class: "section" }, call)];
}

/** What comes before the reason of an answer that no person gave. */
const WHY: Readonly<Record<string, string>> = { rule: "By a rule", mode: "By the mode", administrator: "By the administrator" };
const OUTCOMES = { allowed: "Allowed", denied: "Denied", expired: "Not answered" } as const;

function answered(body: Permission, entry: Entry, { chat }: Context): HTMLElement {
  const status = body.status as keyof typeof OUTCOMES;
  const option = body.options?.find((one) => one.id === body.option_id);
  const title = h("span", { class: "title" });
  title.append(plainText(body.title || body.tool || ""));
  const by = body.by === "nobody" ? "nobody was there to answer" : body.by ? `by ${body.by}` : "";
  const facts = [option?.label, by, body.waited_ms == null ? "" : `after ${duration(body.waited_ms)}`].filter(Boolean).join(" · ");
  const details = folding("tool answered", [icon("lock"), h("span", { class: `outcome ${status}` }, OUTCOMES[status]), title, h("span", { class: "facts muted" }, facts)], (inside) => {
    inside.replaceChildren(...what(body, chat));
    if (body.why) inside.append(h("div", { class: "muted why" }, quotingText(`${WHY[body.by ?? ""] ?? "Made a rule"}: ${body.why}.`)));
    if (!inside.firstChild) inside.append(h("div", { class: "muted" }, "The agent gave no details."));
  });
  details.dataset["request"] = entry.id;
  return details;
}
