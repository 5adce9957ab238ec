"""Gemini generateContent, read and written."""
