"""Cloaking: text of the operator's, pseudonyms of clients, and words that no provider is to read. Pure."""
