"""The ledger: one row for each exchange and one for each attempt, kept in a database."""
