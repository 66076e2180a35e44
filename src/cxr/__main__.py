"""`python -m cxr` is the command line."""

from cxr.cli import main

main()
