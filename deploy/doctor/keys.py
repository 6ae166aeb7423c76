"""Keys and modes: reasons to refuse a start, and the permissions of `.env`."""

from pathlib import Path

from deploy.doctor.finding import Finding, fail, ok, warn
from protocol.config.production import unsafe_settings
from protocol.config.secret import is_development_key
from protocol.config.settings import Settings

OTHERS = 0o077


def keys(settings: Settings, env_file: Path) -> list[Finding]:
    """Return a finding per refusal, else one about the keys; one more if `.env` is readable."""
    refused = unsafe_settings(settings, serves_people=True)
    findings = [fail(f"keys.{each.area}", each.found, each.advice) for each in refused]
    if not refused and is_development_key(settings):
        found = "the development key, which is safe on this machine only"
        findings = [ok("keys.development", found)]
    elif not refused:
        findings = [ok("keys.own", "own keys of 32 bytes or more")]
    if env_file.exists() and env_file.stat().st_mode & OTHERS:
        mode = f"{env_file.stat().st_mode & 0o777:o}"
        found = f"{env_file} has mode {mode}: others on this machine can read the secrets in it"
        findings.append(warn("keys.readable", found, f"chmod 600 {env_file}"))
    return findings
