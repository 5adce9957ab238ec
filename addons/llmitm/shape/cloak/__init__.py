"""Cloaking: what a provider is not told of our clients, and what it is told in their name. Pure.

Text of the operator's before the system text or in its place, a pseudonym for each client's key, headers,
and marks for words that no provider is to read, which become words again in the answer.
"""
