import { useState } from "react";
import type { ReactNode } from "react";

import { Dialog } from "../components";
import type { useChange } from "./changing";
import type { Field, Typed, Values } from "./fields";
import { changed, filled, typed } from "./fields";
import { Form } from "./Form";

interface SendingProps<Answer> {
  fields: readonly Field[];
  /** As the API tells them. */
  values: Values;
  /** Whether all that is filled in is sent; else what was changed. */
  isNew?: boolean;
  path: string;
  /** Name of the table that the fields stand in; else they are the body itself. */
  within?: string;
  change: ReturnType<typeof useChange<Answer>>;
  action: string;
  onCancel?: () => void;
  isReadOnly?: boolean;
}

/** A form that sends itself, and shows beside its fields what is objected to. */
export function SendingForm<Answer>({ fields, values, isNew, path, within, change, action, onCancel, isReadOnly }: SendingProps<Answer>) {
  const latest = typed(fields, values);
  const [before, setBefore] = useState(latest);
  const [now, setNow] = useState(latest);
  const [sent, setSent] = useState<Typed | null>(null);
  const [clashes, setClashes] = useState<string[]>([]);
  // somebody else saved meanwhile: what was typed here stays, all else is shown as it is now
  const others = fields.filter(({ name }) => latest[name] !== before[name]);
  if (others.length > 0) {
    const isOwn = (name: string) => !change.error && sent?.[name] === now[name];
    const kept = others.filter(({ name }) => now[name] !== before[name] && now[name] !== latest[name] && !isOwn(name));
    setBefore({ ...before, ...latest });
    setNow({ ...now, ...Object.fromEntries(others.filter((one) => !kept.includes(one)).map(({ name }) => [name, latest[name] ?? ""])) });
    setClashes(kept.map(({ label, name }) => `${label} (now ${String(latest[name]) || "empty"})`));
  }
  const read = isNew ? filled(fields, now) : changed(fields, before, now);
  const submit = () => {
    setClashes([]);
    setSent(now);
    if (read.problems.length) change.refuse(read.problems);
    else change.send(isNew ? "POST" : "PATCH", path, within ? { [within]: read.values } : read.values);
  };
  return (
    <Form
      clashes={isNew ? [] : clashes}
      fields={fields}
      values={now}
      onChange={setNow}
      onSubmit={submit}
      onCancel={onCancel}
      problems={change.problems}
      failure={change.failure}
      isBusy={change.isBusy}
      action={action}
      isReadOnly={isReadOnly}
      isUnchanged={!isNew && read.problems.length === 0 && Object.keys(read.values).length === 0}
    />
  );
}

interface FormDialogProps<Answer> extends Omit<SendingProps<Answer>, "onCancel" | "isReadOnly"> {
  title: string;
  about?: ReactNode;
  onClose: () => void;
}

/** The same in a dialog. */
export function FormDialog<Answer>({ title, about, onClose, ...form }: FormDialogProps<Answer>) {
  return (
    <Dialog isOpen wide title={title} about={about} onClose={onClose}>
      <SendingForm {...form} onCancel={onClose} />
    </Dialog>
  );
}
