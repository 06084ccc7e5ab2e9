"""``python -m sie_online.schemas``."""

import sys

from sie_online.schemas.files import main

if __name__ == "__main__":
    sys.exit(main())
