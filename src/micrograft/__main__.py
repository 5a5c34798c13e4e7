"""`python -m micrograft` is the command `micrograft`."""

from micrograft.cli import main

main()
