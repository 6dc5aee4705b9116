"""AWS: endpoints, credentials, clients, and the one home of its error codes."""
