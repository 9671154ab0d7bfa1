"""`python -m skynb.cli`: the command line where the console script is not on PATH."""

from skynb.cli import main

main()
