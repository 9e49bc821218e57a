/** Whether a person can see a view, and what follows from that: what has ended in the chat is not news any more. */

import type { Chat } from "../chat.ts";

/** Says that a transcript was seen whenever it can be, and holds what ended last. */
export function tellSeen(element: HTMLElement, chat: Chat, turnId: string): () => void {
  let inSight = false;
  const look = () => {
    if (inSight && document.visibilityState === "visible" && chat.info?.unseen && shows(chat, turnId)) chat.seen();
  };
  const observer = new IntersectionObserver((entries) => {
    inSight = entries.at(-1)?.isIntersecting ?? false;
    look();
  });
  observer.observe(element);
  document.addEventListener("visibilitychange", look);
  const unlisten = chat.listen((aspect) => aspect === "state" && look());
  return () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
    unlisten();
  };
}

/** Whether the turn that has ended last is part of what is shown. */
function shows(chat: Chat, turnId: string): boolean {
  if (turnId === "") return true;
  let last: string | null | undefined;
  for (const entry of chat.transcript) if (entry.body.kind === "turn_ended") last = entry.turn_id;
  return last === turnId;
}
