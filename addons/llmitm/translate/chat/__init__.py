"""OpenAI Chat Completions, read and written."""
