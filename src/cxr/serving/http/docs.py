"""`/docs`: the API as a page made from `/openapi.json`, without a script and without anything from elsewhere.

FastAPI's own page loads Swagger UI from a content delivery network by an inline script: blank in a hospital's closed
network, and forbidden by the service's content security policy anywhere.
"""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response

Schema = dict[str, Any]

_STYLE = Path(__file__).with_name("docs.css")
_METHODS = ("get", "post", "put", "patch", "delete")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: API</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<header>
<h1>{title} {version}</h1>
<p>{description}</p>
<p>Send an API key in the header <code>X-API-Key</code>, or as <code>Authorization: Bearer</code>. Every error has the
same body: <code>request_id</code>, <code>code</code>, <code>reason</code>, <code>what_to_do</code>. For programs:
<a href="{openapi}">{openapi}</a>.</p>
</header>
<main>
{content}
</main>
</body>
</html>
"""


def add_docs(app: FastAPI) -> None:
    """Serve the API's page at `/docs`, and its style below; routes that are added later are on it, too."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(page(app.openapi(), openapi_url=app.openapi_url or ""), media_type="text/html")

    @app.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return Response(_STYLE.read_bytes(), media_type="text/css")


def page(api: Schema, *, openapi_url: str) -> str:
    """An OpenAPI 3.1 document as HTML.

    Args:
        api: the document.
        openapi_url: where it is served.
    """
    info = api["info"]
    by_tag: dict[str, list[str]] = {}
    for path, item in api.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                by_tag.setdefault(tag, []).append(_operation(api, path, method, item[method]))
    sections = (f"<section>\n<h2>{escape(tag)}</h2>\n{''.join(parts)}</section>\n" for tag, parts in by_tag.items())
    return _PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        description=escape(info.get("description", "")),
        openapi=escape(openapi_url),
        content="".join(sections),
    )


def _operation(api: Schema, path: str, method: str, operation: Schema) -> str:
    parts = [f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>\n"]
    parameters = [_resolved(api, parameter) for parameter in operation.get("parameters", ())]
    if parameters:
        rows = ((p["name"], p["in"], _kind(api, p.get("schema", {})), p.get("description", "")) for p in parameters)
        parts.append(_table("Parameters", ("Name", "In", "Type", "Meaning"), rows))
    content = _resolved(api, operation.get("requestBody", {})).get("content", {})
    if content:
        body = ((kind, _shape(api, media.get("schema", {}))) for kind, media in content.items())
        parts.append(_table("Request body", ("Content type", "Content"), body))
    parts.append(_table("Answers", ("Status", "Meaning", "Content"), _answers(api, operation)))
    parts.append(f"<pre><code>{escape(_curl(api, path, method, content))}</code></pre>\n")
    name = f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code>'
    return f"<details>\n<summary>{name} {escape(operation.get('summary', ''))}</summary>\n{''.join(parts)}</details>\n"


def _answers(api: Schema, operation: Schema) -> Iterator[tuple[str, str, str]]:
    for status, response in operation.get("responses", {}).items():
        resolved = _resolved(api, response)
        shapes = (
            f"{kind}: {_shape(api, media.get('schema', {}))}" for kind, media in resolved.get("content", {}).items()
        )
        yield status, resolved.get("description", ""), "; ".join(shapes)


def _table(caption: str, heads: tuple[str, ...], rows: Any) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>\n" for row in rows)
    return f"<table>\n<caption>{escape(caption)}</caption>\n<tr>{head}</tr>\n{body}</table>\n"


def _curl(api: Schema, path: str, method: str, content: Schema) -> str:
    words = ["curl", "-H 'X-API-Key: cxr_…'"]
    if method != "get":
        words.append(f"-X {method.upper()}")
    if "multipart/form-data" in content:
        form = _resolved(api, content["multipart/form-data"].get("schema", {}))
        words += [f"-F {name}=@film.dcm" for name in form.get("properties", {})]
    elif content:
        words += [f"-H 'Content-Type: {next(iter(content))}'", "--data-binary @body"]
    return " ".join((*words, f"https://HOST{path}"))


def _resolved(api: Schema, value: Schema) -> Schema:
    """What a `$ref` within the document points at."""
    reference = value.get("$ref")
    if reference is None:
        return value
    target: Any = api
    for name in reference.removeprefix("#/").split("/"):
        target = target[name]
    return dict(target)


def _kind(api: Schema, schema: Schema) -> str:
    """A type in a word or two."""
    resolved = _resolved(api, schema)
    if "const" in resolved:
        return json.dumps(resolved["const"])
    if "enum" in resolved:
        return " | ".join(map(json.dumps, resolved["enum"]))
    if options := resolved.get("anyOf") or resolved.get("oneOf"):
        return " | ".join(dict.fromkeys(_kind(api, option) for option in options))
    if resolved.get("type") == "array":
        return f"list of {_kind(api, resolved.get('items', {}))}"
    name = resolved.get("title") if resolved.get("type") == "object" else resolved.get("format")
    return str(name or resolved.get("type", "any"))


def _shape(api: Schema, schema: Schema) -> str:
    """An object by its fields, anything else by its type; an optional field has a question mark."""
    resolved = _resolved(api, schema)
    fields = resolved.get("properties")
    if not fields:
        return _kind(api, resolved)
    required = resolved.get("required", ())
    return ", ".join(f"{name}{'' if name in required else '?'}: {_kind(api, field)}" for name, field in fields.items())
