"""The programs that `make run` starts: installed, to be built, or missing. Builds none."""

import shutil
from pathlib import Path

from deploy import installers
from deploy.doctor.finding import Finding, fail, ok, warn


def livekit_server() -> Finding:
    """Check livekit-server."""
    if (there := installers.livekit_server_there()) is not None:
        return ok("livekit_server.ok", f"livekit-server: {there}")
    version = ".".join(map(str, installers.LIVEKIT_VERSION))
    found = f"livekit-server {version} is neither on PATH nor in {installers.cache_dir()}"
    maker = shutil.which("go") or "Go from PyPI"
    advice = f"`make run` builds it once with {maker} (2 to 4 minutes, needs the network)"
    return warn("livekit_server.to_build", found, advice)


def redis_server() -> Finding:
    """Check redis: on PATH without known faults, or the packaged valkey."""
    found, faulty = installers.redis_on_path()
    if found is not None:
        return ok("redis_server.ok", f"redis-server: {found}")
    try:
        packaged = installers.packaged_valkey()
    except installers.ProgramMissing as error:
        advice = "`make clean run` installs the package again; or apt-get install redis-server"
        return fail("redis_server.missing", "; ".join([str(error), *faulty]), advice)
    if faulty:
        advice = f"nothing to do: `make run` takes {packaged}"
        return warn("redis_server.faulty", "; ".join(faulty), advice)
    return ok("redis_server.ok", f"redis-server: {packaged}")


def caddy() -> Finding:
    """Check caddy, which only `make run HOST=…` needs."""
    if (there := installers.caddy_there()) is not None:
        return ok("caddy.ok", f"caddy, for https: {there}")
    advice = "`make run HOST=…` installs it from PyPI (40 MB, needs the network)"
    return warn("caddy.to_install", f"caddy is not on PATH nor in {installers.cache_dir()}", advice)


def page(web_dir: Path) -> Finding:
    """Check that the page is built."""
    if (web_dir / "index.html").is_file():
        return ok("page.ok", f"the page is built: {web_dir}")
    return warn("page.to_build", f"{web_dir} holds no page", "`make page` builds it (or make run)")
