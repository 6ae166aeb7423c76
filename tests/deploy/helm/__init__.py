"""The Helm chart: rendered by Helm, checked against schemas, its pods run as processes."""
