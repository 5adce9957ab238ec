"""OpenAI Responses, read and written."""
