"""One function over HTTP, as an operator's file describes it."""

import json
from collections.abc import Mapping
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from mind.http_client import Compressed, TooLong, http_client
from mind.limits import Limits, cut
from mind.tools.function import Function, ToolFailed
from mind.tools.variables import filled_in
from protocol.config.proxies import proxy_url_for
from protocol.errors import InvalidInput, place
from protocol.minds import HttpFunction

FAILURE_LIMIT = 500  # characters of a failure, for the model


class HttpFunctionCaller:
    """Calls one function; keeps its connection."""

    def __init__(self, config: HttpFunction, limits: Limits) -> None:
        """Raise `InvalidInput` where the schema is none, or a variable is not set."""
        schema = dict(config.parameters)
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            field = place(("parameters", *error.absolute_path))
            raise InvalidInput(f"{field}: {error.message}") from None
        self._validator = Draft202012Validator(schema)
        self._config = config
        headers = filled_in(config.headers, "headers")
        proxy = proxy_url_for(config.http)
        self._client = http_client(proxy, limits.call_bytes, config.within_s, headers)
        self.function = Function(
            config.name, config.description, schema, config.within_s, self._call
        )

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _call(self, arguments: Mapping[str, Any]) -> str:
        try:
            self._validator.validate(dict(arguments))
        except ValidationError as error:
            raise ToolFailed(f"The arguments do not fit the schema: {error.message}") from None
        try:
            response = await self._send(arguments)
        except TooLong:
            raise ToolFailed("The result is too long.") from None
        except Compressed:
            raise ToolFailed("The result is compressed and cannot be read.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise ToolFailed("The function cannot be reached.") from None
        if not response.is_success:
            reason = f"The function failed with HTTP status {response.status_code}"
            raise ToolFailed(cut(f"{reason}: {response.text}", FAILURE_LIMIT))
        return response.text

    async def _send(self, arguments: Mapping[str, Any]) -> httpx2.Response:
        if self._config.method == "POST":
            return await self._client.post(self._config.http, json=dict(arguments))
        url = httpx2.URL(self._config.http)
        query = {key: _in_query(value) for key, value in arguments.items()}
        # The operator's own parameters, as a key, are not the model's to change.
        return await self._client.get(url.copy_with(params={**query, **dict(url.params)}))


def _in_query(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
