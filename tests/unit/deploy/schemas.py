"""Kubernetes' own schemas, and the schemas of custom resources in crds/."""

from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

VERSIONS = ("1.31", "1.32", "1.33", "1.34")
CRDS = Path(__file__).with_name("crds")


def check(manifest: dict[str, Any], version: str) -> None:
    """Raises if this version of Kubernetes, KEDA or Prometheus' operator would refuse or silently drop a field."""
    schema = _custom_schemas().get((manifest["apiVersion"], manifest["kind"]))
    if schema is None:
        kubernetes_validate.validate(manifest, version, strict=True)
    else:
        Draft202012Validator(schema).validate(manifest)


@cache
def _custom_schemas() -> dict[tuple[str, str], dict[str, Any]]:
    schemas = {}
    for path in CRDS.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text("utf-8"))["spec"]
        for version in definition["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"].pop("additionalProperties", None)  # its fields are defined elsewhere
            schemas[f"{definition['group']}/{version['name']}", definition["names"]["kind"]] = schema
    return schemas


def _closed(schema: Any) -> Any:
    """The same schema, but it refuses fields that it does not name; Kubernetes would drop them silently."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    names_its_fields = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if names_its_fields and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if schema.get("type") == "object" and "properties" not in schema and "additionalProperties" not in schema:
        closed["additionalProperties"] = True
    return closed
