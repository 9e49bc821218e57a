/** Usage: tokens and cost by turn, agent and model, growing live. What is not known is "n/a", and sums say so. */

import type { Aspect, Chat } from "../chat.ts";
import { framed, h } from "../dom.ts";
import { agentIcon, agentLabel } from "../icons.ts";
import { count, money, plural, type Sum, summed, timeOfDay, type Totals, totals } from "../text.ts";
import type { UsageRow } from "../wire.ts";

const COLUMNS = ["Turn", "Agent", "Model", "Input", "Cached", "Output", "Cost", "Source"] as const;

export function usageView(root: HTMLElement, chat: Chat, turnId: string): () => void {
  const body = h("tbody");
  const foot = h("tfoot");
  const head = h("thead", {}, h("tr", {}, ...COLUMNS.map((name, index) => h("th", { scope: "col", class: index >= 3 && index <= 6 ? "figure" : "" }, name))));
  const table = h("table", { class: "usage-table", "aria-label": "Tokens and cost" }, head, body, foot);
  const note = h("div", { class: "hint" });
  const empty = h("div", { class: "empty" }, "No agent has reported any usage yet.");
  const scroller = h("div", { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Usage" }, table);
  root.append(h("section", { class: "panel usage", "aria-label": "Usage" }, scroller, empty, note));
  const draw = () => {
    const rows = chat.usageRows(turnId);
    empty.hidden = rows.length > 0;
    scroller.hidden = rows.length === 0;
    body.replaceChildren(...grouped(rows).map(groupRow));
    const sum = totals(rows);
    foot.replaceChildren(...(sum.reports ? [totalRow(sum)] : []));
    note.textContent = footnote(sum);
    note.hidden = note.textContent === "";
  };
  const paint = framed(draw);
  const unlisten = chat.listen((aspect: Aspect) => aspect === "usage" && paint());
  draw();
  return () => {
    unlisten();
    paint.cancel();
  };
}

function grouped(rows: readonly UsageRow[]): UsageRow[][] {
  const groups = new Map<string, UsageRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.turn_id, row.agent, row.model, row.counted !== false]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

function groupRow(rows: UsageRow[]): HTMLTableRowElement {
  const first = rows[0]!;
  const counted = first.counted !== false;
  const sum = totals(rows, () => true);
  const sources = [...sum.sources].sort().join(", ");
  return h(
    "tr",
    { class: counted ? "" : "uncounted" },
    h("th", { scope: "row", title: new Date(first.ts).toLocaleString() }, first.ts ? timeOfDay(first.ts) : "n/a"),
    h("td", {}, first.agent ? h("span", { class: "badge" }, agentIcon(first.agent), h("span", {}, agentLabel(first.agent))) : "n/a"),
    h("td", { class: "model" }, first.model ?? "n/a"),
    ...figures(sum),
    h("td", { title: counted ? "" : "Replayed, resumed or imported: counted where it was first used" }, counted ? sources : "not counted"),
  );
}

function figures(sum: Totals): HTMLTableCellElement[] {
  const tokens = (one: Sum) => h("td", { class: "figure" }, summed(one, count));
  return [tokens(sum.input), tokens(sum.cached), tokens(sum.output), h("td", { class: "figure" }, summed(sum.cost, money))];
}

function totalRow(sum: Totals): HTMLTableRowElement {
  const label = sum.uncounted ? "Total counted" : "Total";
  return h("tr", {}, h("th", { scope: "row", colspan: 3 }, label), ...figures(sum), h("td", {}));
}

function footnote(sum: Totals): string {
  const notes: string[] = [];
  if (sum.cost.unknown) notes.push(`The cost of ${plural(sum.cost.unknown, "report")} is not known.`);
  if (sum.uncounted) notes.push(`${plural(sum.uncounted, "report")} replayed or resumed ${sum.uncounted === 1 ? "is" : "are"} shown and not counted.`);
  return notes.join(" ");
}
