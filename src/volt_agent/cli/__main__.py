"""`python -m volt_agent.cli`, for where the `volt` script is not installed."""

import sys

from . import main

sys.exit(main())
