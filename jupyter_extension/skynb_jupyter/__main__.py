"""`python -m skynb_jupyter`: run the daemon in the foreground."""

from skynb_jupyter.daemon import main

main()
