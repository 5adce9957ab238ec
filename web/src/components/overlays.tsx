/** What lies over a page: dialogs, questions, messages that pass. */

import { Dialog as BaseDialog } from "@base-ui/react/dialog";
import { Tabs as BaseTabs } from "@base-ui/react/tabs";
import { createContext, useCallback, useContext, useMemo, useState } from "react";
import type { ReactNode } from "react";

import { Button, Failure, Note } from "./basics";
import type { Tone } from "./basics";

interface DialogProps {
  isOpen: boolean;
  onClose: () => void;
  title: ReactNode;
  about?: ReactNode;
  wide?: boolean;
  /** Buttons; the last is the one that does it. */
  actions?: ReactNode;
  children?: ReactNode;
}

/** Whether a native dialog lies over all: what is done there closes nothing below it. */
const isCovered = () => document.querySelector("dialog[open]") !== null;

export function Dialog({ isOpen, onClose, title, about, wide, actions, children }: DialogProps) {
  return (
    <BaseDialog.Root open={isOpen} onOpenChange={(open) => !open && !isCovered() && onClose()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="backdrop" />
        <BaseDialog.Popup className={wide ? "dialog wide" : "dialog"}>
          <header>
            <BaseDialog.Title render={<h2 />}>{title}</BaseDialog.Title>
            {about && <BaseDialog.Description>{about}</BaseDialog.Description>}
          </header>
          <div className="inside">{children}</div>
          {actions && <footer>{actions}</footer>}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}

interface AskProps {
  isOpen: boolean;
  onClose: () => void;
  title: string;
  /** What will happen, and whether it can be undone. */
  children: ReactNode;
  /** The verb on the button. */
  verb: string;
  /** Closes when it is done; stays open and says why when it fails. */
  onYes: () => Promise<unknown>;
}

/** A question before something that cannot be undone easily. */
export function Ask({ isOpen, onClose, title, children, verb, onYes }: AskProps) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const close = () => {
    setError(null);
    onClose();
  };
  const go = () => {
    setBusy(true);
    onYes().then(close, setError).finally(() => setBusy(false));
  };
  return (
    <Dialog
      isOpen={isOpen}
      onClose={close}
      title={title}
      actions={
        <>
          <Button onClick={close}>Cancel</Button>
          <Button kind="danger" disabled={isBusy} onClick={go}>
            {verb}
          </Button>
        </>
      }
    >
      <div className="stack">
        <div className="second">{children}</div>
        {error !== null && <Failure error={error} />}
      </div>
    </Dialog>
  );
}

interface TabsProps<T extends string> {
  value: T;
  onChange: (value: T) => void;
  tabs: readonly { name: T; text: ReactNode; body: ReactNode }[];
}

export function Tabs<T extends string>({ value, onChange, tabs }: TabsProps<T>) {
  return (
    <BaseTabs.Root value={value} onValueChange={(next) => onChange(next as T)}>
      <BaseTabs.List className="tab-list">
        {tabs.map((one) => (
          <BaseTabs.Tab key={one.name} value={one.name} className="tab">
            {one.text}
          </BaseTabs.Tab>
        ))}
      </BaseTabs.List>
      {tabs.map((one) => (
        <BaseTabs.Panel key={one.name} value={one.name} className="tab-panel">
          {one.body}
        </BaseTabs.Panel>
      ))}
    </BaseTabs.Root>
  );
}

interface Message {
  id: number;
  tone: Tone;
  text: string;
}

const Say = createContext<(text: string, tone?: Tone) => void>(() => undefined);

/** Says something that passes by itself: `say("Saved", "good")`. */
export function useSay(): (text: string, tone?: Tone) => void {
  return useContext(Say);
}

const SHOWN_MS = 5_000;

export function Messages({ children }: { children: ReactNode }) {
  const [messages, setMessages] = useState<readonly Message[]>([]);
  const say = useCallback((text: string, tone: Tone = "good") => {
    const id = Math.random();
    setMessages((before) => [...before.slice(-3), { id, tone, text }]);
    window.setTimeout(() => setMessages((before) => before.filter((one) => one.id !== id)), SHOWN_MS);
  }, []);
  const shown = useMemo(
    () =>
      messages.map((one) => (
        <div key={one.id} className="toast">
          <Note tone={one.tone}>{one.text}</Note>
        </div>
      )),
    [messages],
  );
  return (
    <Say value={say}>
      {children}
      <div className="toasts" aria-live="polite">
        {shown}
      </div>
    </Say>
  );
}
