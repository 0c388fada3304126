import type { ComponentType } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { href, navigate, place } from "./lib/route.js";
import { type Theme, setTheme, theme } from "./lib/theme.js";
import { Notes } from "./ui/announce.js";
import { Icon } from "./ui/icon.js";
import { A } from "./ui/link.js";
import { ProblemDialog } from "./ui/problem-dialog.js";
import { Bones, Empty } from "./ui/state.js";
import { UserPage } from "./users/user-page.js";
import { UsersPage } from "./users/users-page.js";

export function App() {
  const { path } = place.value;
  useEffect(() => {
    if (path === "") navigate(href("users"), { replace: true });
  }, [path]);
  useFocusedHeading(path);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>Skip to content</a>
      <Header path={path} />
      <main id="main" tabIndex={-1}>{page(path)}</main>
      <ProblemDialog />
      <Notes />
    </>
  );
}

function page(path: string) {
  const [first, second, third] = path.split("/");
  if (third === undefined) {
    if (first === "users") return second === undefined ? <UsersPage /> : <UserPage key={second} id={second} />;
    if (first === "import" && second === undefined) return <Later title="Import users" load={importPage} />;
    if (first === "platform" && second === undefined) return <Later title="Platform" load={platformPage} />;
    if (first === "") return null;
  }
  return (
    <Empty icon="info" title="There is no such page" page>
      <A class="button" href={href("users")}>To the users</A>
    </Empty>
  );
}

const importPage = () => import("./importing/import-page.js").then((m) => m.ImportPage);
const platformPage = () => import("./platform/platform-page.js").then((m) => m.PlatformPage);

/** Later shows a page whose code is loaded when it is first asked for. */
function Later({ title, load }: { title: string; load: () => Promise<ComponentType> }) {
  const [loaded, setLoaded] = useState<{ Page: ComponentType } | "failed" | undefined>();
  const heading = useRef<HTMLHeadingElement>(null);
  const held = useRef(false);
  useEffect(() => {
    let wanted = true;
    const show = (what: { Page: ComponentType } | "failed") => {
      if (!wanted) return;
      held.current = document.activeElement === heading.current;
      setLoaded(what);
    };
    load().then((Page) => show({ Page }), () => show("failed"));
    return () => { wanted = false; };
  }, [load]);
  // Who was at the heading stays there: it is another one now.
  useLayoutEffect(() => {
    if (held.current) focusHeading();
  }, [loaded]);
  if (loaded === "failed") {
    return (
      <Empty icon="alert" title="This part of the console could not be loaded" page>
        <button type="button" class="button" onClick={() => location.reload()}>Load again</button>
      </Empty>
    );
  }
  if (loaded) return <loaded.Page />;
  return (
    <div class="page">
      <div class="page-head"><h1 ref={heading} tabIndex={-1}>{title}</h1></div>
      <Bones rows={6} label="Loading the page" />
    </div>
  );
}

function skip(e: Event): void {
  e.preventDefault();
  document.getElementById("main")?.focus();
}

// A new page begins at its heading, for those who hear it and those who tab:
// before the browser paints, so that no focus is taken from what they do then.
function useFocusedHeading(path: string): void {
  const first = useRef(true);
  useLayoutEffect(() => {
    if (first.current || path === "") {
      first.current = path === "";
      return;
    }
    scrollTo(0, 0);
    focusHeading();
  }, [path]);
}

function focusHeading(): void {
  (document.querySelector<HTMLElement>("main h1") ?? document.getElementById("main"))?.focus({ preventScroll: true });
}

function Header({ path }: { path: string }) {
  const section = path.split("/")[0];
  return (
    <header class="top">
      <A class="brand" href={href("users")}>
        <img src="/console/mark.svg" width="22" height="22" alt="" />
        <span>Keelson</span>
      </A>
      <nav aria-label="Sections">
        <A href={href("users")} aria-current={section === "users" || section === "import" ? "page" : undefined}><Icon name="users" /> Users</A>
        <A href={href("platform")} aria-current={section === "platform" ? "page" : undefined}><Icon name="pulse" /> Platform</A>
      </nav>
      <ThemeSwitch />
    </header>
  );
}

const THEMES: { theme: Theme; label: string; icon: "auto" | "sun" | "moon" }[] = [
  { theme: "auto", label: "As the system", icon: "auto" },
  { theme: "light", label: "Light", icon: "sun" },
  { theme: "dark", label: "Dark", icon: "moon" },
];

function ThemeSwitch() {
  return (
    <div class="segments theme" role="group" aria-label="Theme">
      {THEMES.map((t) => (
        <button type="button" key={t.theme} aria-pressed={theme.value === t.theme} aria-label={t.label} title={t.label} onClick={() => setTheme(t.theme)}>
          <Icon name={t.icon} />
        </button>
      ))}
    </div>
  );
}
