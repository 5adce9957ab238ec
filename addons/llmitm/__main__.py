"""`python -m llmitm` is the command line."""

from llmitm.cli.main import main

main()
