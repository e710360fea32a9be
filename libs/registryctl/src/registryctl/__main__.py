"""`python -m registryctl`: the command."""

import sys

from registryctl.cli import main

sys.exit(main())
