/** The one in the middle of the line. */
export function Mark() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#4653d1" />
      <path d="M5 16h6m10 0h6" stroke="#fff" strokeWidth="2.6" strokeLinecap="round" />
      <circle cx="16" cy="16" r="5" fill="none" stroke="#fff" strokeWidth="2.6" />
    </svg>
  );
}
