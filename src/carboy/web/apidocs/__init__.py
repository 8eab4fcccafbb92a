"""The merged OpenAPI document and the page that shows it."""
