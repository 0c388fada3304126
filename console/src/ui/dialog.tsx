import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icon.js";

interface Props {
  title: string;
  close: () => void;
  children: ComponentChildren;
  /** Asked before Escape or the cross close; false keeps it open. */
  mayClose?: () => boolean;
  size?: "small" | "medium" | "large";
}

/**
 * Dialog is modal: the browser keeps the focus inside, Escape closes it, and the
 * focus goes back to where it was.
 */
export function Dialog({ title, close, children, mayClose, size = "medium" }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  // Before the browser paints: the next key is for the dialog already.
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const dialog = element.current!;
    dialog.showModal();
    (dialog.querySelector<HTMLElement>("[data-autofocus]") ?? dialog.querySelector<HTMLElement>("input, select, textarea, .dialog-foot button"))?.focus();
    return () => {
      dialog.close();
      // What opened it may be gone: then the page's heading is next.
      const target = before?.isConnected && before !== document.body ? before : document.querySelector<HTMLElement>("main h1");
      target?.focus();
    };
  }, []);
  const leave = () => {
    if (mayClose?.() ?? true) close();
  };
  return (
    <dialog
      ref={element}
      class="dialog"
      data-size={size}
      aria-labelledby={heading}
      onCancel={(e) => {
        e.preventDefault();
        leave();
      }}
    >
      <div class="dialog-head">
        <h2 id={heading}>{title}</h2>
        <button type="button" class="button icon-only quiet" aria-label="Close" onClick={leave}><Icon name="close" /></button>
      </div>
      {children}
    </dialog>
  );
}
