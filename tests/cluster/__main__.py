"""`python3 -m tests.cluster VERB`."""

import sys

from tests.cluster.command_line import main

sys.exit(main())
