"""What users see: the real agent and the real command on private hosts, with real packets."""
