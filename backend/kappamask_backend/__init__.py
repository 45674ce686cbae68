"""The service and its command line; here only the command line."""
