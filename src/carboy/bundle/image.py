"""The recipe of a container image for Lambda, instead of a zip."""

from carboy.bundle.container import base_image, system_command
from carboy.bundle.options import BuildOptions, source_of
from carboy.bundle.own_files import choose_own_files


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
    lines += _copies(options)
    lines += [
        "RUN python -m compileall -q --invalidation-mode unchecked-hash ${LAMBDA_TASK_ROOT} || true",
        f'CMD ["{handler}"]',
    ]
    return "# syntax=docker/dockerfile:1\n" + "\n".join(lines) + "\n"


def _copies(options: BuildOptions) -> list[str]:
    """Return the instructions that copy the code."""
    source, root = source_of(options), options.service_dir
    if source is None:
        names = sorted({entry.path.partition("/")[0] for _, entry in choose_own_files(options)[0]})
        return [f"COPY {name} ${{LAMBDA_TASK_ROOT}}/{name}" for name in names]
    is_whole = source.is_file() or (source / "__init__.py").is_file()
    shown = source.relative_to(root) if source.is_relative_to(root) else source
    return [f"COPY {shown.as_posix()} ${{LAMBDA_TASK_ROOT}}/{source.name if is_whole else ''}"]
