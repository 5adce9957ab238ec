/** The configuration's file: read, edited, checked, compared, put in force, and taken back. */

import "../../parts/parts.css";

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useBlocker, useSearchParams } from "react-router";

import type { Problem } from "../../api/client";
import { ApiError, get, post } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Code, Dialog, Empty, Failure, Note, Panel, Table, Tabs, useSay, Waiting } from "../../components";
import type { Column } from "../../components";
import { moment } from "../../format";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { useChange } from "../../parts/changing";
import { Difference } from "./Difference";
import { Editor } from "./Editor";
import { compared } from "./lines";
import { lineOf } from "./toml";
import { ofUnified } from "./unified";

interface Current {
  path: string;
  text: string;
  etag: string;
  read_only: string | null;
  problems: Problem[];
  config: unknown;
}

interface Checked {
  problems: Problem[];
  warnings: string[];
}

interface Written {
  etag: string;
  changed: string[];
  needs_restart: string[];
  warnings: string[];
}

type View = "edit" | "parsed" | "history";

const current = { queryKey: [...keys.config, "current"], queryFn: () => get<Current>("config/current") };

export default function Config() {
  const [asked, setAsked] = useSearchParams();
  const found = useQuery({ ...current, refetchOnWindowFocus: false });
  const view = (["edit", "parsed", "history"] as const).find((one) => one === asked.get("view")) ?? "edit";
  return (
    <Page title="Config" about={found.data && <code>{found.data.path}</code>}>
      {found.isPending && <Waiting lines={8} />}
      {found.error ? <Failure error={found.error} again={() => void found.refetch()} /> : null}
      {found.data && (
        <Tabs<View>
          value={view}
          onChange={(next) => setAsked(next === "edit" ? {} : { view: next })}
          tabs={[
            { name: "edit", text: "File", body: <Edit of={found.data} /> },
            {
              name: "parsed",
              text: "As it is read",
              body: (
                <Code language="json" label="The configuration as it is read" text={JSON.stringify(found.data.config, null, 2) ?? ""} />
              ),
            },
            { name: "history", text: "History", body: <History of={found.data} /> },
          ]}
        />
      )}
    </Page>
  );
}

/** What the server made of the text, half a second after the last key. */
function useChecked(text: string, isChanged: boolean): Checked | null {
  const [checked, setChecked] = useState<Checked | null>(null);
  useEffect(() => {
    if (!isChanged) {
      setChecked(null);
      return;
    }
    let isOld = false;
    const timer = window.setTimeout(() => {
      post<Checked>("config/validate", { text }).then(
        (told) => !isOld && setChecked(told),
        (error: unknown) => {
          if (isOld) return;
          const problems = error instanceof ApiError ? error.problems : [];
          setChecked({
            problems: problems.length ? problems : [{ path: "", message: String(error instanceof Error ? error.message : error) }],
            warnings: [],
          });
        },
      );
    }, 500);
    return () => {
      isOld = true;
      window.clearTimeout(timer);
    };
  }, [text, isChanged]);
  return checked;
}

function Edit({ of }: { of: Current }) {
  const [base, setBase] = useState(of);
  const [text, setText] = useState(of.text);
  const [isComparing, setComparing] = useState(false);
  const [clash, setClash] = useState<{ etag: string; difference: string } | null>(null);
  const isAdmin = useMay("admin");
  const say = useSay();
  const queries = useQueryClient();
  const isChanged = text !== base.text;
  const checked = useChecked(text, isChanged);
  const problems = isChanged ? (checked?.problems ?? []) : base.problems;
  const marked = useMemo(() => new Set(problems.map((one) => lineOf(text, one.path)).filter((line) => line !== null)), [problems, text]);
  const lines = useMemo(() => (isComparing ? compared(base.text, text) : []), [isComparing, base.text, text]);
  const isReadOnly = !isAdmin || base.read_only !== null;
  const leaving = useBlocker(isChanged);
  const take = (newer: Current) => {
    setBase(newer);
    setText(newer.text);
    setClash(null);
    setComparing(false);
  };
  useEffect(() => {
    // another's change is taken over at once only where nothing would be lost
    if (of.etag !== base.etag && !isChanged) take(of);
  }, [of, base.etag, isChanged]);

  const change = useChange<Written>((written) => {
    setComparing(false);
    setClash(null);
    void get<Current>("config/current").then((newer) => {
      queries.setQueryData(current.queryKey, newer);
      take(newer);
    });
    if (written.needs_restart?.length) say(`Saved. Needs a restart: ${written.needs_restart.join(", ")}`, "warn");
    else say(written.changed?.length ? `In force: ${written.changed.join(", ")}` : "Saved; nothing is different.");
  });
  const apply = (etag: string) => {
    change.send("POST", "config/apply", { text }, { "If-Match": `"${etag.replaceAll('"', "")}"` });
  };
  const stale = change.error instanceof ApiError && change.error.status === 409 ? change.error : null;
  useEffect(() => {
    if (!stale || stale.code === "config_read_only") return;
    setComparing(false);
    setClash({ etag: String(stale.details.etag ?? ""), difference: String(stale.details.difference ?? "") });
  }, [stale]);

  return (
    <div className="stack wide">
      {base.read_only !== null && <Note tone="warn">{base.read_only}</Note>}
      {!isAdmin && <Note>Only admins change the configuration.</Note>}
      {of.etag !== base.etag && isChanged && (
        <Note
          tone="warn"
          actions={
            <Button small onClick={() => take(of)}>
              Take theirs
            </Button>
          }
        >
          The file was changed by somebody else since you began. Saving will show the difference.
        </Note>
      )}
      <div className="row apart">
        <Standing isChanged={isChanged} checked={checked} count={problems.length} />
        {!isReadOnly && (
          <div className="row">
            <Button disabled={!isChanged} onClick={() => setText(base.text)}>
              Discard
            </Button>
            <Button kind="primary" disabled={!isChanged || problems.length > 0} onClick={() => setComparing(true)}>
              Review and save
            </Button>
          </div>
        )}
      </div>
      <p className="second">A secret stands as a mark, such as <code>***1a2b3c4d***</code>: left as it is, it stays what it was.</p>
      <Editor
        value={text}
        onChange={setText}
        marked={marked}
        isReadOnly={isReadOnly}
        label="Text of the configuration"
        describedBy="config-problems"
      />
      <div id="config-problems" aria-live="polite">
        {problems.length > 0 && <Problems of={problems} text={text} />}
        {checked?.warnings.map((warning) => (
          <Note key={warning} tone="warn">
            {warning}
          </Note>
        ))}
      </div>
      <Dialog
        isOpen={isComparing}
        onClose={() => setComparing(false)}
        title="Save these changes?"
        about="They are in force at once, and can be taken back from the history."
        wide
        actions={
          <>
            <Button onClick={() => setComparing(false)}>Cancel</Button>
            <Button kind="primary" disabled={change.isBusy} onClick={() => apply(base.etag)}>
              Save
            </Button>
          </>
        }
      >
        <div className="stack">
          {change.error && !stale && <Failure error={change.error} />}
          {stale?.code === "config_read_only" && <Failure error={stale} />}
          <Difference lines={lines} label="What changes" />
        </div>
      </Dialog>
      <Dialog
        isOpen={clash !== null}
        onClose={() => setClash(null)}
        title="Somebody else changed the file"
        about="This is how your text differs from what stands there now."
        wide
        actions={
          <>
            <Button onClick={() => setClash(null)}>Go on editing</Button>
            <Button onClick={() => void get<Current>("config/current").then(take)}>Take theirs</Button>
            <Button kind="danger" disabled={change.isBusy} onClick={() => clash && apply(clash.etag)}>
              Overwrite with mine
            </Button>
          </>
        }
      >
        <Difference lines={ofUnified(clash?.difference ?? "")} label="From what stands there to your text" />
      </Dialog>
      <Dialog
        isOpen={leaving.state === "blocked"}
        onClose={() => leaving.reset?.()}
        title="Leave without saving?"
        about="What you changed in the text is lost."
        actions={
          <>
            <Button onClick={() => leaving.reset?.()}>Stay</Button>
            <Button kind="danger" onClick={() => leaving.proceed?.()}>
              Leave
            </Button>
          </>
        }
      />
    </div>
  );
}

function Standing({ isChanged, checked, count }: { isChanged: boolean; checked: Checked | null; count: number }) {
  if (count > 0) return <Badge tone="bad">{count === 1 ? "1 problem" : `${count} problems`}</Badge>;
  if (!isChanged) return <Badge>as saved</Badge>;
  return checked ? <Badge tone="good">could be used</Badge> : <Badge>being checked</Badge>;
}

/** Puts the cursor of the editor into a line, from 1, and brings it into sight. */
function showLine(line: number): void {
  const area = document.getElementById("config-text");
  if (!(area instanceof HTMLTextAreaElement)) return;
  const before =
    area.value
      .split("\n")
      .slice(0, line - 1)
      .join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(before, before);
  area.scrollTop = Math.max(0, (line - 6) * 20);
  area.scrollLeft = 0;
}

function Problems({ of, text }: { of: readonly Problem[]; text: string }) {
  return (
    <Note tone="bad">
      <ul className="stack">
        {of.map((one) => {
          const line = lineOf(text, one.path);
          return (
            <li key={`${one.path} ${one.message}`}>
              {line !== null && (
                <>
                  <Button small onClick={() => showLine(line)}>
                    Line {line}
                  </Button>{" "}
                </>
              )}
              {one.path && <code>{one.path}</code>} {one.message}
            </li>
          );
        })}
      </ul>
    </Note>
  );
}

interface Version {
  number: number;
  at: string;
  who: string;
  what: string;
  is_current: boolean;
}

function History({ of }: { of: Current }) {
  const found = useQuery({ queryKey: [...keys.config, "history"], queryFn: () => get<{ versions: Version[] }>("config/history") });
  const [shown, setShown] = useState<Version | null>(null);
  const columns: Column<Version>[] = [
    { name: "Version", isNumber: true, width: 70, cell: (row) => row.number },
    { name: "When", cell: (row) => <span className="nowrap">{moment(row.at)}</span> },
    { name: "Who", cell: (row) => row.who || <span className="quiet">not from here</span> },
    { name: "What", cell: (row) => row.what },
    {
      name: "Actions",
      isNameHidden: true,
      cell: (row) =>
        row.is_current ? (
          <Badge tone="good">in the file</Badge>
        ) : (
          <Button small aria-label={`Compare version ${row.number}`} onClick={() => setShown(row)}>
            Compare
          </Button>
        ),
    },
  ];
  const rows = found.data && [...found.data.versions].sort((one, other) => other.number - one.number);
  return (
    <Panel title="Versions" about="Each change that was made from here or by a command, the newest first." flush>
      <Table
        label="Versions of the configuration"
        columns={columns}
        rows={rows}
        rowKey={(row) => String(row.number)}
        error={found.error ?? undefined}
        empty={<Empty title="No version is kept yet">The first change that is saved here keeps the one before it.</Empty>}
      />
      {shown && <Back to={shown} of={of} onClose={() => setShown(null)} />}
    </Panel>
  );
}

function Back({ to, of, onClose }: { to: Version; of: Current; onClose: () => void }) {
  const found = useQuery({
    queryKey: [...keys.config, "history", to.number],
    queryFn: () => get<{ difference: string }>(`config/history/${to.number}`),
  });
  const isAdmin = useMay("admin");
  const say = useSay();
  const change = useChange<Written>((written) => {
    say(
      written.needs_restart?.length
        ? `Back at version ${to.number}. Needs a restart: ${written.needs_restart.join(", ")}`
        : `Back at version ${to.number}.`,
    );
    onClose();
  });
  const lines = useMemo(() => (found.data ? ofUnified(found.data.difference) : []), [found.data]);
  return (
    <Dialog
      isOpen
      wide
      onClose={onClose}
      title={`Version ${to.number}`}
      about={`${to.what}, by ${to.who || "somebody else"}, ${moment(to.at)}. This is what would change.`}
      actions={
        <>
          <Button onClick={onClose}>Close</Button>
          {isAdmin && of.read_only === null && (
            <Button
              kind="danger"
              disabled={change.isBusy || !found.data}
              onClick={() => change.send("POST", "config/rollback", { number: to.number }, { "If-Match": `"${of.etag}"` })}
            >
              Go back to it
            </Button>
          )}
        </>
      }
    >
      <div className="stack">
        {found.isPending && <Waiting />}
        {found.error ? <Failure error={found.error} /> : null}
        {change.error && <Failure error={change.error} />}
        {found.data && <Difference lines={lines} label={`From what the file says to version ${to.number}`} />}
      </div>
    </Dialog>
  );
}
