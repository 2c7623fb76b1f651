"""`python -m surnn_cli`: the `surnn` command, for this very interpreter."""

from surnn_cli.app import main

if __name__ == "__main__":
    main()
