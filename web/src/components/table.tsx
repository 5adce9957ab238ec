/** Rows and columns. Where a row opens something, its first cell holds the link, and all of it can be clicked. */

import type { MouseEvent, ReactNode } from "react";
import { Link, useNavigate } from "react-router";

import { Failure } from "./basics";

export interface Column<T> {
  name: string;
  /** Shown to nobody but screen readers. */
  isNameHidden?: boolean;
  cell: (row: T) => ReactNode;
  isNumber?: boolean;
  width?: number | string;
}

interface TableProps<T> {
  label: string;
  columns: readonly Column<T>[];
  /** undefined: they are on their way. */
  rows: readonly T[] | undefined;
  rowKey: (row: T) => string;
  /** Where a row leads. */
  href?: (row: T) => string;
  empty?: ReactNode;
  error?: unknown;
  tone?: (row: T) => string | undefined;
  /** Whether there are so many columns that they stand close together. */
  isDense?: boolean;
  /** How many rows there may be, while they are on their way. */
  usually?: number;
}

export function Table<T>({ label, columns, rows, rowKey, href, empty, error, tone, isDense, usually = 6 }: TableProps<T>) {
  const navigate = useNavigate();
  if (error) return <div style={{ padding: 16 }}><Failure error={error} /></div>;
  if (rows?.length === 0 && empty) return <>{empty}</>;
  const open = (event: MouseEvent, to: string) => {
    if ((event.target as Element).closest("a, button, input, label")) return;
    if (getSelection()?.toString()) return;
    if (event.metaKey || event.ctrlKey) window.open(to, "_blank", "noopener");
    else void navigate(to);
  };
  return (
    <div className="table-frame" tabIndex={-1}>
      <table className={isDense ? "table dense" : "table"} aria-busy={rows === undefined}>
        <caption className="hidden-but-read">{label}</caption>
        <thead>
          <tr>
            {columns.map((one) => (
              <th key={one.name} scope="col" className={one.isNumber ? "number" : undefined} style={one.width ? { width: one.width } : undefined}>
                {one.isNameHidden ? <span className="hidden-but-read">{one.name}</span> : one.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows === undefined
            ? Array.from({ length: usually }, (_, index) => (
                <tr key={index}>
                  {columns.map((one) => (
                    <td key={one.name}>
                      <span className="waiting" />
                    </td>
                  ))}
                </tr>
              ))
            : rows.map((row) => {
                const to = href?.(row);
                return (
                  <tr key={rowKey(row)} className={to ? "opens" : undefined} data-tone={tone?.(row)} onClick={to ? (event) => open(event, to) : undefined}>
                    {columns.map((one, index) => (
                      <td key={one.name} className={one.isNumber ? "number" : undefined}>
                        {to && index === 0 ? <Link to={to}>{one.cell(row)}</Link> : one.cell(row)}
                      </td>
                    ))}
                  </tr>
                );
              })}
        </tbody>
      </table>
    </div>
  );
}
