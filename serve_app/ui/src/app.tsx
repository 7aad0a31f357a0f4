// The frame around every view: navigation, the connection, the theme, who is logged in.
import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { asApiError, online, type ApiError } from "./api/http";
import { link as connection, start, stop } from "./live";
import { Button, Failure, Loading } from "./parts/basics";
import { Brand } from "./parts/brand";
import { Messages, tried } from "./parts/dialog";
import { Guard } from "./parts/guard";
import { Icon, type IconName } from "./parts/icons";
import { link, place, view } from "./router";
import { isAdmin, logOut, me, refreshMe } from "./session";
import { setTheme, theme, type Theme } from "./theme";
import { Login } from "./views/login";
import { VIEWS, type ViewName } from "./views";

const NAVIGATION: readonly (readonly [ViewName, string, IconName])[] = [
  ["slides", "Slides", "slides"],
  ["new", "New workflow", "workflow"],
  ["queue", "Queue", "queue"],
  ["view", "Viewer", "view"],
  ["results", "Results", "results"],
  ["review", "Quality check", "review"],
];
const FOR_ADMINS: typeof NAVIGATION = [
  ["metrics", "Metrics", "admin"],
  ["users", "Users", "users"],
];

export function App(): JSX.Element {
  const [error, setError] = useState<ApiError | null>(null);
  const load = () => {
    setError(null);
    refreshMe().catch((thrown: unknown) => setError(asApiError(thrown)));
  };
  useEffect(load, []);
  useSignalEffect(() => (me.value ? start() : stop()));
  if (error) {
    return (
      <main class="page" id="main">
        <Failure error={error} onRetry={load} />
      </main>
    );
  }
  if (me.value === undefined) return <Loading rows={1} />;
  return (
    <>
      {me.value === null ? <Login /> : <Frame />}
      <Messages />
    </>
  );
}

function Frame(): JSX.Element {
  const name = (view.value in VIEWS ? view.value : "slides") as ViewName;
  const View = VIEWS[name];
  useEffect(() => {
    const found = [...NAVIGATION, ...FOR_ADMINS].find(([each]) => each === name);
    document.title = found ? `${found[1]} · raysched` : "raysched";
  }, [name]);
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="bar">
        <a href="#/slides" class="bar-brand" aria-label="raysched, to the slides">
          <Brand />
        </a>
        <Navigation current={name} />
        <Connection />
        <ThemeSwitch />
        <Account />
      </header>
      <main id="main" tabIndex={-1} class={name === "view" ? "page full" : "page"}>
        <Guard key={name}>
          <View path={place.value.path.slice(1)} query={place.value.query} />
        </Guard>
      </main>
    </div>
  );
}

function skip(event: Event): void {
  event.preventDefault(); // the address is the view's
  document.getElementById("main")?.focus();
}

function Navigation({ current }: { current: ViewName }): JSX.Element {
  const shown = isAdmin.value ? [...NAVIGATION, ...FOR_ADMINS] : NAVIGATION;
  return (
    <nav class="nav" aria-label="Views">
      {shown.map(([name, text, icon]) => (
        <a key={name} href={link([name])} aria-current={name === current ? "page" : undefined}>
          <Icon name={icon} size={18} />
          <span>{text}</span>
        </a>
      ))}
    </nav>
  );
}

function Connection(): JSX.Element {
  const away = !online.value || connection.value === "away";
  const text = away ? "Connection lost: it comes back by itself" : "Live";
  const tone = away ? "bad" : connection.value === "live" ? "good" : "idle";
  return (
    <span class={`connection ${tone}`} role="status" title={text}>
      <span class={away ? "" : "unseen"}>{away ? "Offline" : text}</span>
    </span>
  );
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const THEME_ICONS = { system: "system", light: "sun", dark: "moon" } as const;

function ThemeSwitch(): JSX.Element {
  const now = theme.value;
  return (
    <Button
      kind="quiet"
      icon={THEME_ICONS[now]}
      label={`Theme: ${now}. Change to ${NEXT[now]}`}
      onClick={() => setTheme(NEXT[now])}
    />
  );
}

function Account(): JSX.Element {
  const who = me.value;
  return (
    <details class="menu">
      <summary class="button quiet" title="Account">
        <Icon name="user" />
        <span class="menu-name">{who?.name}</span>
      </summary>
      <div class="menu-body card">
        <p>
          <strong>{who?.name}</strong>
          <br />
          <span class="muted">
            {who?.id} · {who?.role}
          </span>
        </p>
        <a href={link(["account"])}>Your keys and storage</a>
        <a href="/docs" target="_blank" rel="noreferrer">
          API description
        </a>
        <Button onClick={() => void tried(logOut)}>Log out</Button>
      </div>
    </details>
  );
}
