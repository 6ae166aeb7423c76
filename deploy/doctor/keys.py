"""Keys and modes: what a start would be refused for, and who can read `.env`."""

from pathlib import Path

from deploy.doctor.finding import Finding, fail, ok, warn
from protocol.config.production import refusals
from protocol.config.secret import is_development_key
from protocol.config.settings import Settings

OTHERS = 0o077


def keys(settings: Settings, env_file: Path) -> list[Finding]:
    """One finding for each refusal, or a word about the keys; one more where others read them."""
    refused = refusals(settings, serves_people=True)
    findings = [fail(f"keys.{each.what}", each.found, each.advice) for each in refused]
    if not refused and is_development_key(settings):
        found = "the development key, which is right on this machine alone"
        findings = [ok("keys.development", found)]
    elif not refused:
        findings = [ok("keys.own", "keys of your own, 32 bytes or more")]
    if env_file.exists() and env_file.stat().st_mode & OTHERS:
        mode = f"{env_file.stat().st_mode & 0o777:o}"
        found = f"{env_file} has mode {mode}: others on this machine can read the secrets in it"
        findings.append(warn("keys.readable", found, f"chmod 600 {env_file}"))
    return findings
