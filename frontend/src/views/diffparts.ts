/** Small parts of a changed file in the diff panel: images, conflicts, and what no hunk shows. */

import { h } from "../dom.ts";
import { plural } from "../text.ts";
import type { Change, Clash, FileContent } from "../wire.ts";

const KINDS: Record<string, string> = { "120000": "a symbolic link", "100755": "executable", "100644": "not executable", "160000": "a repository" };
export const IMAGE = /\.(png|jpe?g|gif|webp|bmp)$/i;

/** The line after a side of a hunk; one without lines names the line that it comes after. */
export function endOf(start: number, count: number): number {
  return count ? start + count : start + 1;
}

/** The first line of a side of a hunk. */
export function startOf(start: number, count: number): number {
  return count ? start : start + 1;
}

/** What no hunk shows, in words. */
export function factsOf(change: Change): string {
  const { old_mode: old, new_mode: fresh } = change;
  return [
    change.old_path && change.old_path !== change.path ? `Renamed from ${change.old_path}.` : "",
    change.binary && !IMAGE.test(change.path) ? "A binary file; its content is not shown." : "",
    old && fresh && old !== fresh ? `It was ${KINDS[old] ?? old} and is ${KINDS[fresh] ?? fresh} now.` : "",
    !old && fresh === "120000" ? "A symbolic link; its text is where it points." : "",
  ].filter(Boolean).join(" ");
}

/** An image with its size. */
export function showImage(figure: HTMLElement, content: FileContent, path: string): void {
  if (content.base64 == null) return figure.append(h("div", { class: "muted" }, content.note ?? ""));
  const image = h("img", { src: `data:${content.media_type};base64,${content.base64}`, alt: path });
  const size = h("span", {});
  image.addEventListener("load", () => (size.textContent = ` ${image.naturalWidth} × ${image.naturalHeight}, ${plural(content.size, "byte")}`));
  figure.firstElementChild!.append(size);
  figure.append(image);
}

/** A place that both sides changed. */
export function clashView(clash: Clash): HTMLElement {
  const side = (name: string, lines: readonly string[]) => h("div", {}, h("div", { class: "muted" }, name), h("pre", { tabindex: 0 }, lines.join("\n") || "(nothing)"));
  return h("div", { class: "clash", role: "group", "aria-label": `Conflict at line ${clash.line}` }, side(`Yours, line ${clash.line}`, clash.yours), side("The agent's", clash.theirs));
}
