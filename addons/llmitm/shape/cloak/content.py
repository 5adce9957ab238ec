"""Which strings of a request are content, by the names of the members that hold them. Pure data."""

from __future__ import annotations

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NO_CONTENT: Final = _names("""
    type role model models object status id ids name format effort verbosity phase mode strategy detail voice
    service_tier serviceTier speed truncation include modalities responseModalities response_modalities
    stop_reason finish_reason finishReason mime_type mimeType media_type mediaType syntax encoding_format
    tool_choice allowed_tools allowed_callers allowedFunctionNames toolset_name server_name server_label
    mcp_server_name namespace connector_id recipient execution environment inference_geo data file_data
    b64_json partial_image_b64 signature encrypted_content encrypted_index fingerprint thoughtSignature
    thought_signature obfuscation sdkBlob url uri image_url file_url fileUri file_uri server_url
    streamableHttpTransport authorization headers allowed_domains blocked_domains excluded_domains
    excludeDomains cachedContent category threshold reasoning_effort thinkingLevel thinking_level
    responseMimeType response_mime_type toolType language outcome ttl
""")
"""Members whose strings are none, where the API itself has them: enumerations, names of tools, what is signed
or encoded, and addresses that the provider is to fetch."""
IDS: Final = ("_id", "Id", "_ids", "Ids", "Names")
"""Ends of the names of others."""
FREE: Final = _names("""
    args response input metadata labels variables input_examples output_examples
""")
"""Objects in which all is content, whatever its name."""
SCHEMAS: Final = _names("""
    parameters input_schema parametersJsonSchema parameters_json_schema responseSchema response_schema
    responseJsonSchema response_json_schema output_schema schema
""")
"""JSON schemas."""
EXAMPLES: Final = _names("""
    default const enum example examples
""")
"""Members of schemas in which all is content."""
NO_CONTENT_OF_SCHEMAS: Final = _names("""
    type format required $ref ref $schema $id $anchor $dynamicRef propertyOrdering dependentRequired
    contentEncoding contentMediaType
""")
"""Members of schemas whose strings are none: types, and names of properties, which are keys elsewhere."""
SPEAKERS: Final = frozenset({b'"user"', b'"system"', b'"developer"', b'"assistant"'})
"""Roles, as JSON, of those whose `name` is that of somebody."""


def is_content(name: str, *, is_schema: bool) -> bool:
    """Whether the strings of a member are content."""
    if is_schema:
        return name not in NO_CONTENT_OF_SCHEMAS
    return name not in NO_CONTENT and not name.endswith(IDS)


def is_always_content(name: str) -> bool:
    """Whether the string of a member is content wherever it stands, and no JSON text itself."""
    return name not in _WHERE and not name.endswith(IDS)


_WHERE: Final = NO_CONTENT | NO_CONTENT_OF_SCHEMAS | {"arguments", "data", "name", "thinking"}
