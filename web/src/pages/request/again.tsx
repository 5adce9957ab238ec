import { useState } from "react";
import { useNavigate } from "react-router";

import { part, post } from "../../api/client";
import type { Exchange } from "../../api/types";
import { Button, Dialog, Failure, inLines, Note, useSay } from "../../components";
import { useMay } from "../../layout/session";
import { TextArea } from "../../parts/controls";
import { parsed } from "./reading";

/** Of a WebSocket, which cannot be played again. */
const SESSION = 101;

/** Sends the request again through the gateway, as it was or as it is edited here; leads to the new one. */
export function Again({ of }: { of: Exchange }) {
  const [isOpen, setOpen] = useState(false);
  const may = useMay("operator");
  if (!may || of.state === "running" || of.status === SESSION) return null;
  return (
    <>
      <Button icon="again" onClick={() => setOpen(true)}>
        Play again
      </Button>
      {isOpen && <Edit of={of} onClose={() => setOpen(false)} />}
    </>
  );
}

/** Why it cannot be played; null: it can. */
function hindrance(of: Exchange): string | null {
  if (of.bodies === null) return "Its body is not kept: set bodies = true in [ledger], and requests from then on can be played again.";
  if (of.bodies.is_request_cut) return "Only the beginning of its body is kept. What is sent is what stands here: complete it first.";
  if (of.bodies.request === null) return "Its body is no text, and cannot be edited here.";
  return null;
}

/** What was not kept as it was, and cannot be sent as it was. */
const MASK = "***";

function maskedIn(of: Exchange, text: string): string[] {
  const names = (of.bodies?.request_headers ?? []).filter(([name, value]) => value.includes(MASK) && !OURS.has(name.toLowerCase())).map(([name]) => name);
  return [
    ...(text.includes(MASK) ? [`Where ${MASK} stands in the body something was masked when it was kept, and it is sent masked`] : []),
    ...(names.length > 0 ? [`${names.join(", ")} ${names.length === 1 ? "is" : "are"} not sent: the value was not kept`] : []),
  ];
}

/** Headers of clients' keys: it is played in the name of who asks. */
const OURS = new Set(["authorization", "x-llmitm-key", "x-api-key", "x-goog-api-key", "api-key", "cookie"]);

function Edit({ of, onClose }: { of: Exchange; onClose: () => void }) {
  const [before] = useState(() => inLines(of.bodies?.request ?? ""));
  const [text, setText] = useState(before);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const navigate = useNavigate();
  const say = useSay();
  const why = hindrance(of);
  const isChanged = text !== before;
  const masked = maskedIn(of, text);
  const play = () => {
    setBusy(true);
    setError(null);
    post<{ id: string; notes: string[] }>(`logs/${part(of.request_id)}/replay`, isChanged ? { body: text } : {})
      .then(async ({ id, notes }) => {
        for (const one of notes) say(one, "warn");
        await navigate(`/requests/${part(id)}`, { state: { isNew: true } });
        onClose();
      })
      .catch(setError)
      .finally(() => setBusy(false));
  };
  return (
    <Dialog
      isOpen
      wide
      onClose={onClose}
      title="Play it again"
      about={`${of.method} ${of.path} goes through the gateway once more, in your name. It costs what it costs.`}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" disabled={isBusy || (why !== null && !isChanged)} onClick={play}>
            {isChanged ? "Play as edited" : "Play as it was"}
          </Button>
        </>
      }
    >
      <div className="stack">
        {why && <Note tone="warn">{why}</Note>}
        {masked.length > 0 && (
          <Note tone="warn">
            {masked.join("; ")}. Write the value itself where it matters.
          </Note>
        )}
        {error !== null && <Failure error={error} />}
        <TextArea label="Body" isCode rows={14} value={text} onChange={setText} error={text && parsed(text) === null ? "This is no JSON; it is sent as it stands." : null} />
      </div>
    </Dialog>
  );
}
