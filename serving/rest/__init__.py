"""The grammar of the REST API, and its server."""
