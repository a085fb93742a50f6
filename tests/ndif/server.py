"""A real NDIF server on this machine, for the tests: `python tests/ndif/server.py install|start|stop|status`.

`install` makes an environment of its own in $STEERDSL_NDIF_HOME (default ~/.cache/steerdsl-ndif) with the
same versions of what makes numbers as this Python has. `start` starts redis, an object store, Ray, NDIF's
controller and its API, each on the loopback address as far as it lets itself be told, and deploys the
default model in float32. `stop` ends the processes that `start` has recorded, and no other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from processes import Recorded, alive, end, started_at

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("STEERDSL_NDIF_HOME", "~/.cache/steerdsl-ndif")).expanduser().resolve()
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
KEY = "00000000-0000-4000-8000-000000000001"  # the one API key that the server knows
PORTS = {"redis": 16379, "store": 19000, "ray": 16385, "client": 20001, "dashboard": 18265, "api": 18001}
URL = f"http://127.0.0.1:{PORTS['api']}"
COMMAND = "python tests/ndif/server.py install && pytest -m ndif"

SAME = ("torch", "transformers", "nnsight", "numpy", "tokenizers", "safetensors", "huggingface_hub", "cloudpickle")
NDIF = "ndif==0.1.2"
NEEDED = (
    *("redis", "click", "python-dotenv", "pyyaml", "boto3", "fastapi", "uvicorn[standard]", "gunicorn"),
    *("python-multipart", "ray[default]", "accelerate", "peft", "zstandard", "requests", "moto[server,s3]"),
)
DEBIAN = ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1")


def python() -> Path:
    return HOME / "venv" / "bin" / "python"


def wanted() -> dict[str, str]:
    """The versions that the server must have, to give the numbers that this Python gives."""
    return {name: version(name).partition("+")[0] for name in SAME}


def installed() -> bool:
    """Whether the server's environment is there, with the versions of this one."""
    try:
        return bool(json.loads((HOME / "installed.json").read_text()) == wanted()) and redis() is not None
    except (OSError, ValueError):
        return False


def install() -> None:
    """Make the environment. Raises CalledProcessError when packages cannot be fetched, SystemExit without redis."""
    if installed():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    if redis() is None:
        fetch_redis()
    if not python().exists():
        subprocess.run([sys.executable, "-m", "venv", HOME / "venv"], check=True)
    (HOME / "constraints.txt").write_text("".join(f"{name}=={number}\n" for name, number in wanted().items()))
    pip = [python(), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-c", HOME / "constraints.txt", *wanted(), *NEEDED], check=True)
    # It asks for a later Python than it needs, and for packages of services that are not started here.
    subprocess.run([*pip, "--no-deps", "--ignore-requires-python", NDIF], check=True)
    (HOME / "installed.json").write_text(json.dumps(wanted()))


def redis() -> Path | None:
    found = shutil.which("redis-server")
    own = HOME / "redis" / "usr" / "bin" / "redis-server"
    return Path(found) if found else own if own.exists() else None


def fetch_redis() -> None:
    """Unpack Debian's redis into a folder of its own."""
    folder = HOME / "redis"
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", "-qq", *DEBIAN], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"redis-server is not on the PATH and cannot be fetched ({error}): install it") from error


def environment() -> dict[str, str]:
    """What every part of the server is told."""
    own = {
        "NDIF_HOME": HOME / "ndif",
        "NDIF_REDIS_URL": f"redis://127.0.0.1:{PORTS['redis']}",
        "NDIF_OBJECT_STORE_URL": f"http://127.0.0.1:{PORTS['store']}",
        "NDIF_RAY_ADDRESS": f"ray://127.0.0.1:{PORTS['client']}",
        "NDIF_POSTGRES_URL": f"memory://{KEY}",
        "NDIF_DEFAULT_DTYPE": "float32",
        "NDIF_DEFAULT_MODEL_ACTOR_CLASS": "cpu_actor.CPUModelActor",
        "NDIF_STATUS_TTL_S": 1,  # a test that stops a part must not be told that it runs
        "NDIF_QUEUE_FETCH_TIMEOUT_S": 1,
        "RAY_ADDRESS": f"127.0.0.1:{PORTS['ray']}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": 0,
        "RAY_memory_monitor_refresh_ms": 0,
        "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 8, "GPU": 1, "cuda_memory_bytes": 8_000_000_000}),
        "GRPC_ENABLE_FORK_SUPPORT": 0,
        "HF_HOME": HOME / "hf",
        "HF_HUB_OFFLINE": 1,
        "PYTHONPATH": HERE / "host",
        "PATH": f"{HOME / 'venv' / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": HOME / "redis" / "usr" / "lib" / "x86_64-linux-gnu",
    }
    return {**os.environ, **{name: str(value) for name, value in own.items()}}


def place_model() -> int:
    """Lay the default model into the server's cache of the hub, which it reads by the model's id; its bytes."""
    sys.path.insert(0, str(HERE.parents[1]))  # the package itself, where it is not installed
    from steerdsl.models.catalog import locate

    here = locate(None).path.resolve()
    cache = HOME / "hf" / "hub" / ("models--" + MODEL.replace("/", "--"))
    snapshot = cache / "snapshots" / "local"
    shutil.rmtree(cache, ignore_errors=True)
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("local")
    for file in here.iterdir():
        (snapshot / file.name).symlink_to(file.resolve())
    return (here / "model.safetensors").stat().st_size


PARTS: dict[str, list[str | Path]] = {
    "redis": ["redis-server", "--bind", "127.0.0.1", "--port", str(PORTS["redis"]), "--save", ""],
    "store": ["moto_server", "-H", "127.0.0.1", "-p", str(PORTS["store"])],
    "ray": [
        *("ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=8"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={PORTS['dashboard']}", f"--port={PORTS['ray']}"),
        *(f"--ray-client-server-port={PORTS['client']}", "--min-worker-port=21000", "--max-worker-port=21999"),
        *("--object-store-memory=200000000", "--dashboard-agent-listen-port=18266"),
        '--resources={"head": 10, "cuda_memory_bytes": 8000000000, "cpu_memory_bytes": 8000000000}',
    ],
    "controller": ["python", "-m", "ndif.services.ray.deployments.controller.controller"],
    "api": [
        *("gunicorn", "--config", "python:ndif.services.api.gunicorn_conf"),
        *("--bind", f"127.0.0.1:{PORTS['api']}", "ndif.services.api.app:app"),
    ],
}


def launch(part: str) -> None:
    """Start one part and record its process."""
    (HOME / "logs").mkdir(exist_ok=True)
    command = [redis() or "redis-server", *PARTS[part][1:]] if part == "redis" else PARTS[part]
    command = [HOME / "venv" / "bin" / command[0], *command[1:]] if part != "redis" else command
    with (HOME / "logs" / f"{part}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment(),
            cwd=HOME,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    recorded = {**read(), part: (process.pid, started_at(process.pid))}
    (HOME / "processes.json").write_text(json.dumps(recorded))


def read() -> dict[str, Recorded]:
    """The recorded processes: part -> (id, when it began)."""
    try:
        return {part: (pid, began) for part, (pid, began) in json.loads((HOME / "processes.json").read_text()).items()}
    except (OSError, ValueError):
        return {}


def wait(part: str, ready: Callable[[], object], seconds: float = 120) -> None:
    """Wait until `ready()` is true; give up when the part has ended."""
    deadline = time.monotonic() + seconds
    while not ready():
        ended = part != "controller" and not alive(read()[part])  # the controller's script ends when it has started it
        if ended or time.monotonic() > deadline:
            raise SystemExit(f"{part} {'has ended' if ended else 'is not ready'}: see {HOME / 'logs' / part}.log")
        time.sleep(0.25)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(path: str) -> bytes | None:
    try:
        with urllib.request.urlopen(URL + path, timeout=30) as reply:
            return bytes(reply.read())
    except (OSError, urllib.error.URLError):
        return None


def serves() -> bool:
    """Whether the default model runs."""
    return b'"application_state":"RUNNING"' in (answers("/status") or b"").replace(b" ", b"")


def start() -> None:
    """Start every part and wait until the model answers; end what was started when one fails."""
    size = place_model()
    try:
        _start(size)
    except BaseException:
        stop()
        raise


def _start(size: int) -> None:
    for part in PARTS:
        if part in PORTS and listens(PORTS[part]):
            raise SystemExit(f"port {PORTS[part]} is taken: is a server running already?")
        launch(part)
        if part in PORTS:
            wait(part, lambda port=PORTS[part]: listens(port))
        if part == "ray":
            wait("ray", lambda: listens(PORTS["client"]))
    wait("api", lambda: answers("/connected"))
    deploy(size)


def deploy(size: int) -> None:
    command = [python(), HERE / "host" / "deploy.py", MODEL, "float32", str(size)]
    with (HOME / "logs" / "deploy.log").open("ab") as log:
        subprocess.run(command, env=environment(), cwd=HOME, check=True, stdout=log, stderr=subprocess.STDOUT)
    wait("controller", serves)


def restart(part: str) -> None:
    """End one part at once, as a crash would, and start it again."""
    kill(part)
    launch(part)
    if part == "api":
        wait("api", lambda: answers("/connected"))


def kill(*parts: str) -> None:
    """End parts at once, with everything that they started."""
    recorded = read()
    end([recorded[part] for part in parts if part in recorded], patience=0)


def stop() -> None:
    """End every recorded process, and what those started."""
    end([recorded for _, recorded in reversed(read().items())], patience=10)
    (HOME / "processes.json").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("install", "start", "stop", "status"))
    command = parser.parse_args().command
    if command == "install":
        try:
            install()
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"the server's packages cannot be installed: {error}") from error
    elif command == "start":
        start()
        print(f"serving {MODEL} at {URL}; the key is {KEY}")
    elif command == "stop":
        stop()
    else:
        print("serving" if serves() else "not running" if installed() else f"not installed: {COMMAND}")


if __name__ == "__main__":
    main()
