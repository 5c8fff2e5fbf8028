"""Tests, in the order of `src/volt_agent`; `support` has what they share."""
