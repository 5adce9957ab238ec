"""Pure translation: data in, data out."""
