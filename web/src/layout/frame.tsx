/** What stands around every page: where one can go, whether the gateway is heard, who is signed in. */

import { Suspense, useEffect, useState } from "react";
import { NavLink, Outlet, useLocation, useNavigate } from "react-router";

import { post } from "../api/client";
import { feed, useLink, useNews } from "../api/live";
import { queries } from "../api/queries";
import { Button, Choice, Icon, Waiting } from "../components";
import type { IconName } from "../components";
import { show, useTheme } from "../theme";
import type { Theme } from "../theme";
import { Mark } from "./mark";
import { useMe } from "./session";

type Place = readonly [to: string, name: string, icon: IconName];

const PLACES: readonly (readonly [group: string, places: readonly Place[]])[] = [
  ["Watch", [
    ["/", "Overview", "overview"],
    ["/live", "Live", "live"],
    ["/requests", "Requests", "requests"],
    ["/usage", "Costs and usage", "usage"],
  ]],
  ["Set up", [
    ["/providers", "Providers", "providers"],
    ["/routing", "Endpoints and routing", "routing"],
    ["/keys", "Keys and limits", "keys"],
    ["/config", "Config", "config"],
  ]],
  ["Work", [
    ["/playground", "Playground", "playground"],
    ["/system", "System", "system"],
  ]],
];

const THEMES: readonly (readonly [Theme, string])[] = [["system", "Auto"], ["light", "Light"], ["dark", "Dark"]];

export function Frame() {
  const [isOpen, setOpen] = useState(false);
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  return (
    <div className="frame">
      <a className="button skip" href="#main">To the content</a>
      <div className="top">
        <div className="row">
          <Button kind="plain" icon={isOpen ? "close" : "menu"} aria-label="Menu" aria-expanded={isOpen} aria-controls="side" onClick={() => setOpen(!isOpen)} />
          <Brand />
        </div>
        <Heard />
      </div>
      <aside className={isOpen ? "side is-open" : "side"} id="side">
        <Brand />
        <nav aria-label="Pages">
          {PLACES.map(([group, places]) => (
            <div key={group}>
              <h2>{group}</h2>
              {places.map(([to, name, icon]) => (
                <NavLink key={to} to={to} end={to === "/"}>
                  <Icon name={icon} />
                  {name}
                </NavLink>
              ))}
            </div>
          ))}
        </nav>
        <Foot />
      </aside>
      <main className="main" id="main" tabIndex={-1}>
        <Suspense key={pathname} fallback={<Waiting lines={4} />}>
          <Outlet />
        </Suspense>
      </main>
    </div>
  );
}

function Brand() {
  return (
    <NavLink className="brand" to="/" aria-label="llmitm, overview">
      <Mark />
      llmitm
    </NavLink>
  );
}

function Foot() {
  const me = useMe();
  const theme = useTheme();
  const navigate = useNavigate();
  const leave = () =>
    void post("auth/logout")
      .catch(() => undefined)
      .then(() => {
        feed.close();
        queries.clear();
        return navigate("/login");
      });
  return (
    <div className="foot">
      <Heard />
      <Choice label="Theme" value={theme} options={THEMES} onChange={show} />
      <div className="who">
        <span title={me.role}>
          {me.name} <span className="quiet">· {me.role}</span>
        </span>
        <Button small kind="plain" icon="out" aria-label="Sign out" title="Sign out" onClick={leave} />
      </div>
    </div>
  );
}

function Heard() {
  useNews([], () => undefined);
  const link = useLink();
  const [tone, text] = ({ open: ["good", "Connected"], connecting: ["quiet", "Connecting"], lost: ["bad", "Connection lost"] } as const)[link];
  return (
    <span className="link-state" role="status">
      <i className="dot" data-tone={tone} />
      {text}
    </span>
  );
}
