import type { FormEvent } from "react";
import { useState } from "react";

import type { Problem } from "../api/client";
import { Button, Note } from "../components";
import { Check, Columns, SelectField, TextArea, TextField } from "./controls";
import type { Field, Typed } from "./fields";
import { elsewhere, problemOf } from "./fields";

interface FormProps {
  fields: readonly Field[];
  values: Typed;
  onChange: (values: Typed) => void;
  onSubmit: () => void;
  onCancel?: () => void;
  problems: readonly Problem[];
  /** What somebody else changed, too, since it was shown, and what it is now. */
  clashes?: readonly string[];
  /** What is wrong with the whole. */
  failure?: string | null;
  action: string;
  isBusy: boolean;
  isReadOnly?: boolean;
  isUnchanged?: boolean;
}

/** A form made of its fields. Problems stand beside the fields that they name, the others above the buttons. */
export function Form(props: FormProps) {
  const [wantsRare, setWantsRare] = useState(false);
  const usual = props.fields.filter((field) => !field.isRare);
  const rare = props.fields.filter((field) => field.isRare);
  const rest = elsewhere(props.fields, props.problems);
  const showsRare = wantsRare || rare.some((field) => problemOf(field.name, props.problems));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onSubmit();
  };
  const inputs = (fields: readonly Field[]) => (
    <Columns>
      {fields.map((field) => (
        <Input
          key={field.name}
          field={field}
          value={props.values[field.name] ?? ""}
          error={problemOf(field.name, props.problems)}
          isOff={props.isReadOnly ?? false}
          onChange={(value) => props.onChange({ ...props.values, [field.name]: value })}
        />
      ))}
    </Columns>
  );
  return (
    <form onSubmit={submit} noValidate className="stack wide">
      {inputs(usual)}
      {rare.length > 0 && (
        <div className="row">
          <Button kind="plain" small aria-expanded={showsRare} onClick={() => setWantsRare(!showsRare)}>
            {showsRare ? "Fewer options" : `More options (${rare.length})`}
          </Button>
        </div>
      )}
      {showsRare && inputs(rare)}
      {props.clashes && props.clashes.length > 0 && (
        <Note tone="warn">Somebody else changed this meanwhile: {props.clashes.join(", ")}. Saving puts yours in its place.</Note>
      )}
      {(props.failure || rest.length > 0) && (
        <Note tone="bad">
          {props.failure}
          {rest.map((problem) => (
            <div key={`${problem.path} ${problem.message}`}>
              {problem.path && <code>{problem.path}</code>} {problem.message}
            </div>
          ))}
        </Note>
      )}
      {!props.isReadOnly && (
        <div className="row row-end">
          {props.onCancel && <Button onClick={props.onCancel}>Cancel</Button>}
          <Button type="submit" kind="primary" disabled={props.isBusy || (props.isUnchanged ?? false)}>
            {props.action}
          </Button>
        </div>
      )}
    </form>
  );
}

interface InputProps {
  field: Field;
  value: string | boolean;
  error: string | null;
  isOff: boolean;
  onChange: (value: string | boolean) => void;
}

function Input({ field, value, error, isOff, onChange }: InputProps) {
  const { name, label, help, isNeeded } = field;
  const shared = { name, label, help, error, isNeeded, isOff };
  const typed = { ...shared, value: String(value), placeholder: field.placeholder, suggestions: field.suggestions, onChange };
  switch (field.kind) {
    case "switch":
      return <Check {...shared} isOn={value === true} onChange={onChange} />;
    case "choice": {
      // what is in force stays to be seen, whatever it is called here
      const all = [...new Set([...(field.choices ?? []), ...(value ? [String(value)] : [])])];
      const none = field.isNeeded ? [] : [{ value: "", label: field.placeholder ?? "by default" }];
      return <SelectField {...shared} value={String(value)} onChange={onChange} choices={[...none, ...all]} />;
    }
    case "either": {
      const none = { value: "", label: field.placeholder ?? "by default" };
      return <SelectField {...shared} value={String(value)} onChange={onChange} choices={[none, "yes", "no"]} />;
    }
    case "lines":
      if (field.isOneLine) return <TextField {...typed} />;
      return (
        <div className="whole-row">
          <TextArea {...typed} isCode />
        </div>
      );
    case "list":
    case "pairs":
      return <TextArea {...typed} isCode />;
    case "secret":
      if (!field.canBeTakenOut) return <TextField {...typed} type="password" />;
      return (
        <div className="stack">
          <TextField {...typed} value={value === false ? "" : typed.value} isOff={isOff || value === false} type="password" />
          <Check label={`No ${label.toLowerCase()}: take it out`} isOn={value === false} isOff={isOff} onChange={(isOn) => onChange(isOn ? false : "")} />
        </div>
      );
    case "time":
      return <TextField {...typed} type="datetime-local" />;
    default:
      return <TextField {...typed} isNumber={field.kind === "number"} />;
  }
}
