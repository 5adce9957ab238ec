/** Inputs with their labels, of which all forms are made, and what else they need. */

import type { ReactNode } from "react";
import { useId } from "react";

import { Button, Copy, Field, Note } from "../components";

interface Labelled {
  label: string;
  help?: ReactNode;
  error?: string | null;
  isNeeded?: boolean;
  isOff?: boolean;
  name?: string;
}

interface OfText extends Labelled {
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
}

interface TextProps extends OfText {
  type?: "text" | "password" | "datetime-local" | "search" | "date";
  isNumber?: boolean;
  suggestions?: readonly string[];
}

const shared = (props: Labelled) => ({
  name: props.name,
  required: props.isNeeded ?? false,
  disabled: props.isOff ?? false,
});

const labels = (props: Labelled) => ({
  label: props.isNeeded ? `${props.label} *` : props.label,
  hint: props.help,
  problem: props.error ?? undefined,
});

export function TextField(props: TextProps) {
  const list = useId();
  return (
    <Field {...labels(props)}>
      {(given) => (
        <>
          <input
            className="input"
            {...given}
            {...shared(props)}
            type={props.type ?? "text"}
            inputMode={props.isNumber ? "decimal" : undefined}
            autoComplete={props.type === "password" ? "new-password" : "off"}
            spellCheck={false}
            list={props.suggestions?.length ? list : undefined}
            placeholder={props.placeholder}
            value={props.value}
            onChange={(event) => props.onChange(event.currentTarget.value)}
          />
          {props.suggestions && props.suggestions.length > 0 && (
            <datalist id={list}>
              {props.suggestions.map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}

export function TextArea(props: OfText & { rows?: number; isCode?: boolean }) {
  return (
    <Field {...labels(props)}>
      {(given) => (
        <textarea
          className={props.isCode ? "textarea mono" : "textarea"}
          {...given}
          {...shared(props)}
          rows={Math.max(props.rows ?? 2, Math.min(14, props.value.split("\n").length))}
          spellCheck={!props.isCode}
          placeholder={props.placeholder}
          value={props.value}
          onChange={(event) => props.onChange(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface SelectProps extends Labelled {
  value: string;
  onChange: (value: string) => void;
  choices: readonly (string | { value: string; label: string })[];
}

export function SelectField(props: SelectProps) {
  return (
    <Field {...labels(props)}>
      {(given) => (
        <select
          className="select"
          {...given}
          {...shared(props)}
          value={props.value}
          onChange={(event) => props.onChange(event.currentTarget.value)}
        >
          {props.choices.map((one) => {
            const choice = typeof one === "string" ? { value: one, label: one } : one;
            return (
              <option key={choice.value} value={choice.value}>
                {choice.label}
              </option>
            );
          })}
        </select>
      )}
    </Field>
  );
}

export function Check(props: Labelled & { isOn: boolean; onChange: (isOn: boolean) => void }) {
  const id = useId();
  const told = props.error ?? props.help;
  return (
    <div className="field">
      <span className="check">
        <input
          {...shared(props)}
          id={id}
          type="checkbox"
          checked={props.isOn}
          aria-describedby={told ? `${id}-told` : undefined}
          aria-invalid={props.error ? true : undefined}
          onChange={(event) => props.onChange(event.currentTarget.checked)}
        />
        <label htmlFor={id}>{props.label}</label>
      </span>
      {told && (
        <span className={props.error ? "problem" : "hint"} id={`${id}-told`}>
          {told}
        </span>
      )}
    </div>
  );
}

/** As many side by side as there is room for. */
export function Columns(props: { children: ReactNode; isWide?: boolean }) {
  return <div className={props.isWide ? "columns-wide" : "columns"}>{props.children}</div>;
}

/** A secret that the server does not tell a second time. */
export function ShownOnce(props: { name: string; secret: string; onDone: () => void }) {
  return (
    <div className="stack">
      <Note tone="warn">
        Copy it now: the key of <b>{props.name}</b> is shown once. Only its hash is kept.
      </Note>
      <code className="shown-once" tabIndex={0} role="textbox" aria-readonly aria-label={`Key of ${props.name}`}>
        {props.secret}
      </code>
      <div className="row row-end">
        <Copy text={props.secret} small={false}>
          Copy key
        </Copy>
        <Button kind="primary" onClick={props.onDone}>
          Done
        </Button>
      </div>
    </div>
  );
}
