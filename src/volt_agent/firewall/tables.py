"""The two tables: what is hooked where, and every rule of the default policy.

Nothing in them depends on the state of the host; that is in the elements of their sets.
"""

from __future__ import annotations

from .bridge import BRIDGE
from .inet import INET

TABLES = (INET, BRIDGE)
SETS = {each.name: each for table in TABLES for each in table.sets}
FAMILY_OF_SET = {each.name: table.family for table in TABLES for each in table.sets}
COUNTERS = {each.name: (each, table.family) for table in TABLES for each in table.counters}
