"""Prometheus, dashboards and alerts, against a real Prometheus and a real call."""
