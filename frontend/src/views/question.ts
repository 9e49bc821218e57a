/** The card of a question: what the agent wants to know, the answers that it proposes, and room for one's own words. */

import { h, plainText } from "../dom.ts";
import { icon } from "../icons.ts";
import { duration } from "../text.ts";
import type { Choice, Question } from "../wire.ts";
import type { Context } from "./entry.ts";
import { ErrorLine } from "./pieces.ts";

/** For so long after a card has appeared its keys do nothing: who was typing did not mean it. */
const DEAF_MS = 600;

export function questionRow(context: Context) {
  const element = h("div");
  let shown = "";
  return {
    element,
    update(body: Question) {
      const status = body.status ?? "pending";
      const state = `${status} ${context.chat.canAct}`;
      if (state === shown) return;
      shown = state;
      if (status === "pending") {
        element.replaceChildren(card(body, context));
        context.announce(`The agent asks: ${body.text || "what do you want?"}`);
      } else {
        const focused = element.matches(":focus-within");
        const row = answered(body);
        element.replaceChildren(row);
        if (focused) row.focus({ preventScroll: true }); // who answers by keys stays here
      }
    },
  };
}

function card(body: Question, context: Context): HTMLElement {
  const since = Date.now();
  const errors = new ErrorLine();
  const text = h("span", { class: "label" });
  text.append(plainText(body.text || "The agent asks"));
  const element = h("form", { class: "card asks", tabindex: 0, role: "group", "aria-label": `Question: ${body.text ?? ""}` });
  element.append(h("div", { class: "card-head" }, icon("question"), text));
  const name = `answer-${body.request_id}-${Math.random().toString(36).slice(2)}`;
  const choices = body.choices ?? [];
  const boxes = choices.map((choice) => h("input", { type: body.multiple ? "checkbox" : "radio", name, value: choice.id }));
  if (choices.length) element.append(h("div", { class: "choices", role: body.multiple ? "group" : "radiogroup", "aria-label": body.text ?? "" }, ...choices.map((choice, index) => option(choice, boxes[index]!, index))));
  if (!context.chat.canAct) {
    for (const box of boxes) box.disabled = true;
    element.append(h("div", { class: "card-foot muted" }, context.chat.live ? "You may look at this chat, not answer for it." : "Was not answered when this view was saved."));
    return element;
  }

  const words = body.custom === false && choices.length ? null : h("textarea", { class: "words", rows: 1, "aria-label": choices.length ? "In your own words" : "Your answer", placeholder: choices.length ? "Or in your own words" : "Your answer" });
  const send = h("button", { type: "submit", class: "primary" }, icon("check"), h("span", {}, "Answer"));
  const decline = h("button", { type: "button", class: "quiet" }, icon("cross"), h("span", {}, "Decline"));
  const given = () => [...boxes.filter((box) => box.checked).map((box) => box.value), ...(words?.value.trim() ? [words.value.trim()] : [])];
  const ready = () => send.setAttribute("aria-disabled", String(given().length === 0));
  let sent = false;
  const reply = async (answer: string[] | null) => {
    if (sent) return;
    sent = true;
    for (const one of [send, decline]) one.setAttribute("aria-disabled", "true");
    errors.show("");
    try {
      if (!(await context.chat.reply(body.request_id, answer))) errors.show("This was answered already.");
    } catch (error) {
      errors.show(error);
      sent = false;
      decline.removeAttribute("aria-disabled");
      ready();
    }
  };

  if (words) element.append(words);
  element.append(h("div", { class: "card-foot" }, send, decline), errors.element);
  ready();
  decline.addEventListener("click", () => void reply(null));
  words?.addEventListener("input", () => {
    if (!body.multiple && words.value.trim()) for (const box of boxes) box.checked = false;
    words.style.height = "auto";
    words.style.height = `${words.scrollHeight}px`;
    ready();
  });
  element.addEventListener("change", (event) => {
    if (words && !body.multiple && event.target !== words) words.value = "";
    ready();
  });
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (given().length) void reply(given());
  });
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !(event.target instanceof HTMLButtonElement)) {
      event.preventDefault();
      if (Date.now() - since >= DEAF_MS) element.requestSubmit();
    }
    const box = event.target === words ? undefined : boxes[Number(event.key) - 1];
    if (!box || Date.now() - since < DEAF_MS) return;
    event.preventDefault();
    box.click();
    box.focus();
  });
  return element;
}

function option(choice: Choice, box: HTMLInputElement, index: number): HTMLElement {
  const label = h("span", { class: "choice-label" });
  label.append(plainText(choice.label || choice.id));
  const about = h("span", { class: "muted" });
  about.append(plainText(choice.description ?? ""));
  return h("label", { class: "choice" }, box, h("span", { class: "choice-text" }, label, choice.description ? about : null), index < 9 ? h("kbd", { "aria-hidden": "true" }, String(index + 1)) : null);
}

const OUTCOMES = { answered: "Answered", declined: "Declined", expired: "Not answered" } as const;
const SIGNS = { answered: "allowed", declined: "denied", expired: "expired" } as const;

function answered(body: Question): HTMLElement {
  const status = body.status as keyof typeof OUTCOMES;
  const said = (body.answer ?? []).map((id) => body.choices?.find((choice) => choice.id === id)?.label || id);
  const by = body.by === "nobody" ? "nobody was there to answer" : body.by ? `by ${body.by}` : "";
  const facts = [by, body.waited_ms == null ? "" : `after ${duration(body.waited_ms)}`].filter(Boolean).join(" · ");
  const text = h("div", { class: "asked-text" });
  text.append(plainText(body.text ?? ""));
  const answer = h("div", { class: "asked-answer" });
  answer.append(h("span", { class: `outcome ${SIGNS[status]}` }, OUTCOMES[status]), " ", plainText(said.join(", ")), " ", h("span", { class: "muted" }, facts));
  return h("div", { class: "question", tabindex: -1 }, icon("question"), h("div", {}, text, answer));
}
