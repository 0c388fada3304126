// What is said to a screen reader, and the notes at the foot of the page.
import { signal } from "@preact/signals";
import { Icon } from "./icon.js";

const polite = signal("");

/** announce says a sentence to screen readers, after what is being said. */
export function announce(text: string): void {
  polite.value = "";
  // The same sentence twice is heard twice only if it was gone in between.
  setTimeout(() => (polite.value = text), 50);
}

interface Note {
  id: number;
  text: string;
  action?: { label: string; run: () => void };
}

const notes = signal<Note[]>([]);
let lastNote = 0;

/** note shows a sentence for some seconds, with something that can be done about it. */
export function note(text: string, action?: Note["action"]): void {
  const id = ++lastNote;
  notes.value = [...notes.value.slice(-2), action ? { id, text, action } : { id, text }];
  announce(action ? `${text} ${action.label} is possible.` : text);
  expire(id, action ? 12_000 : 6_000);
}

// What somebody points at or has the focus in stays as long.
function expire(id: number, ms: number): void {
  setTimeout(() => (document.querySelector(".notes:hover, .notes:focus-within") ? expire(id, 2000) : dismiss(id)), ms);
}

function dismiss(id: number): void {
  notes.value = notes.value.filter((n) => n.id !== id);
}

export function Notes() {
  return (
    <>
      <div class="sr-only" aria-live="polite" role="status">{polite}</div>
      <section class="notes" aria-label="Notifications">
        {notes.value.map((n) => (
          <div class="note" key={n.id}>
            <span class="note-text">{n.text}</span>
            {n.action && (
              <button type="button" class="button quiet" onClick={() => { dismiss(n.id); n.action!.run(); }}>{n.action.label}</button>
            )}
            <button type="button" class="button icon-only quiet" aria-label="Dismiss" onClick={() => dismiss(n.id)}><Icon name="close" /></button>
          </div>
        ))}
      </section>
    </>
  );
}
