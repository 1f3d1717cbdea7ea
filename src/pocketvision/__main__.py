"""`python -m pocketvision` is `pocketvision`."""

from pocketvision.cli import main

if __name__ == "__main__":
    main()
