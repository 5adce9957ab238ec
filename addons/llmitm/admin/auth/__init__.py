"""Who may see and change what: passwords, tokens, roles, patience."""
