"""The recipe of a container image for Lambda, instead of a zip."""

from carboy.bundle.container import base_image, system_command
from carboy.bundle.options import BuildOptions, source_roots

__all__ = ["render_dockerfile"]


def render_dockerfile(options: BuildOptions, requirements: str, handler: str = "handler.handler") -> str:
    """Return a Dockerfile that builds the service as an image for Lambda.

    Args:
        options: the Python, the processor, the source, the system packages.
        requirements: of the dependencies, as pip has them; empty for none.
        handler: the module and the function that Lambda calls.
    """
    platform = "linux/arm64" if options.arch == "arm64" else "linux/amd64"
    lines = [f"FROM --platform={platform} {base_image(options.python)}"]
    if options.system_packages:
        lines.append(f"RUN {system_command(options.python, options.system_packages)}")
    if requirements.strip():
        lines += [
            "COPY <<'REQUIREMENTS' /tmp/requirements.txt",
            requirements.rstrip("\n"),
            "REQUIREMENTS",
            "RUN pip install --no-cache-dir --target ${LAMBDA_TASK_ROOT} -r /tmp/requirements.txt",
        ]
    for path, name in source_roots(options):
        relative = path.relative_to(options.service_dir) if path.is_relative_to(options.service_dir) else path
        lines.append(f"COPY {relative.as_posix()} ${{LAMBDA_TASK_ROOT}}/{name}")
    lines += [
        "RUN python -m compileall -q --invalidation-mode unchecked-hash ${LAMBDA_TASK_ROOT} || true",
        f'CMD ["{handler}"]',
    ]
    return "# syntax=docker/dockerfile:1\n" + "\n".join(lines) + "\n"
