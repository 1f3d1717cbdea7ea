"""`python -m pocketvision` is `pocketvision`."""

from pocketvision.process import leave_folder

leave_folder()

if __name__ == "__main__":
    from pocketvision.cli import main

    main()
