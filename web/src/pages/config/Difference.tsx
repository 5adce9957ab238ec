import classes from "./config.module.css";
import type { Compared } from "./lines";

const SIGN = { same: " ", added: "+", removed: "−" } as const;
const SAID = { same: "", added: "added: ", removed: "removed: " } as const;

/** Lines of two texts, with what changed marked by sign and colour. */
export function Difference({ lines, label }: { lines: readonly Compared[]; label: string }) {
  if (lines.length === 0) return <p className="quiet">No line differs.</p>;
  return (
    <div className={classes.difference} role="region" aria-label={label} tabIndex={0}>
      <table>
        <tbody>
          {lines.map((line, at) =>
            line.kind === "gap" ? (
              <tr key={at} className={classes.gap}>
                <td colSpan={4}>{line.count === 1 ? "1 line" : `${line.count} lines`} unchanged</td>
              </tr>
            ) : (
              <tr key={at} className={classes[line.kind]}>
                <td className={classes.number}>{line.before}</td>
                <td className={classes.number}>{line.after}</td>
                <td className={classes.sign} aria-hidden="true">
                  {SIGN[line.kind]}
                </td>
                <td className={classes.text}>
                  {SAID[line.kind] && <span className="hidden-but-read">{SAID[line.kind]}</span>}
                  {line.text || " "}
                </td>
              </tr>
            ),
          )}
        </tbody>
      </table>
    </div>
  );
}
