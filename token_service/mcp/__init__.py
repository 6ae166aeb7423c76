"""An MCP server: tools, resources and prompts over our own HTTP API, by HTTP or stdio."""
