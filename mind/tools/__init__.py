"""The functions that a language model may call: MCP servers, and functions over HTTP."""
