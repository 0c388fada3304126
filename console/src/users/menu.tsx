import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type User, User_State } from "@keelson/client";
import { idOf, isolated } from "../lib/format.js";
import { href, navigate } from "../lib/route.js";
import { Icon, type IconName } from "../ui/icon.js";
import { activate, suspend, undelete } from "./actions.js";
import { openDialog } from "./dialogs.js";

interface Item {
  icon: IconName;
  label: string;
  run: () => void;
  danger?: boolean;
}

function itemsOf(user: User): Item[] {
  const show: Item = { icon: "clock", label: "Details and history", run: () => navigate(href(user.name)) };
  if (user.deleteTime) return [show, { icon: "undo", label: "Undelete", run: () => void undelete(user) }];
  return [
    show,
    { icon: "edit", label: "Edit", run: () => openDialog({ kind: "edit", user }) },
    user.state === User_State.SUSPENDED
      ? { icon: "play", label: "Activate", run: () => void activate(user) }
      : { icon: "pause", label: "Suspend", run: () => void suspend(user) },
    { icon: "trash", label: "Delete…", run: () => openDialog({ kind: "delete", user }), danger: true },
  ];
}

/** UserMenu follows the menu button pattern of the WAI-ARIA practices. */
export function UserMenu({ user }: { user: User }) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const close = (focus: boolean) => {
    setOpen(false);
    if (focus) button.current?.focus();
  };
  return (
    <div class="menu">
      <button
        ref={button}
        type="button"
        class="button icon-only quiet"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={`Actions for ${isolated(user.displayName || idOf(user.name))}`}
        onClick={() => setOpen(!open)}
        onKeyDown={(e) => {
          if (e.key !== "ArrowDown") return;
          e.preventDefault();
          setOpen(true);
        }}
      >
        <Icon name="more" class="dots" />
      </button>
      {open && <MenuItems id={id} items={itemsOf(user)} close={close} anchor={button.current!} />}
    </div>
  );
}

function MenuItems({ id, items, close, anchor }: { id: string; items: Item[]; close: (focus: boolean) => void; anchor: HTMLElement }) {
  const list = useRef<HTMLDivElement>(null);
  // Before the browser paints: the next key is for the menu already.
  useLayoutEffect(() => {
    place(list.current!, anchor);
    list.current!.querySelector<HTMLElement>("button")?.focus({ preventScroll: true });
    const outside = (e: Event) => {
      if (!list.current?.contains(e.target as Node) && !anchor.contains(e.target as Node)) close(false);
    };
    // The end of a scroll that led here is told after it: only a button that has moved takes its menu away.
    const { left, top } = anchor.getBoundingClientRect();
    const away = () => {
      const now = anchor.getBoundingClientRect();
      if (Math.abs(now.left - left) + Math.abs(now.top - top) > 2) close(false);
    };
    document.addEventListener("pointerdown", outside);
    addEventListener("scroll", away, { passive: true });
    addEventListener("resize", away);
    return () => {
      document.removeEventListener("pointerdown", outside);
      removeEventListener("scroll", away);
      removeEventListener("resize", away);
    };
  }, []);
  const keys = (e: KeyboardEvent) => {
    const buttons = Array.from(list.current!.querySelectorAll<HTMLElement>("button"));
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + buttons.length, Home: 0, End: buttons.length - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      buttons[to % buttons.length]!.focus();
    } else if (e.key === "Escape" || e.key === "Tab") {
      if (e.key === "Escape") e.preventDefault();
      close(true);
    }
  };
  return (
    <div ref={list} id={id} role="menu" class="menu-list" popover="manual" onKeyDown={keys}>
      {items.map((item) => (
        <button
          type="button"
          role="menuitem"
          tabIndex={-1}
          key={item.label}
          class={item.danger ? "danger" : undefined}
          onClick={() => {
            close(true);
            item.run();
          }}
        >
          <Icon name={item.icon} /> {item.label}
        </button>
      ))}
    </div>
  );
}

// In the top layer, so that no scrolling frame cuts it off.
function place(list: HTMLElement, anchor: HTMLElement): void {
  list.showPopover();
  const a = anchor.getBoundingClientRect();
  const height = list.offsetHeight;
  const above = a.bottom + height + 8 > innerHeight && a.top > height + 8;
  list.style.top = `${above ? a.top - height - 4 : a.bottom + 4}px`;
  list.style.left = `${Math.max(8, a.right - list.offsetWidth)}px`;
}
