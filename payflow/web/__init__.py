"""The API: what people and machines talk to over HTTP."""
