# Both stages share one base, so that programs installed in the first run in the second.
# For reproducible builds pin it by digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# More than `all`, such as otel,sentry.
ARG EXTRAS=
# The dependencies, checked by hash, are a layer of their own: they change less often than the code.
COPY requirements.txt requirements-telemetry.txt ./
RUN python -m pip download --require-hashes --no-deps --only-binary=:all: \
        --dest /wheels --requirement "requirements${EXTRAS:+-telemetry}.txt"
COPY pyproject.toml README.md LICENSE ./
COPY migrations ./migrations
COPY man ./man
COPY src ./src
# The build tools stay in this stage. /app gets the wheel and its dependencies from /wheels, which
# holds only the locked files.
# hadolint ignore=DL3013
RUN python -m pip install --no-index --find-links /wheels hatchling \
    && python -m pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels . \
    && python -m venv --without-pip /app \
    && python -m pip --python /app/bin/python install --no-index --find-links /wheels \
        "taskcore[all${EXTRAS:+,${EXTRAS}}]"

FROM ${BASE}
ARG VERSION=1.0.0
LABEL org.opencontainers.image.title="taskcore" \
      org.opencontainers.image.description="A task-management backend: HTTP API and command line" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
# The embedded PostgreSQL (for trials without DATABASE_URL) needs an account with a name;
# orchestrators check the number.
RUN groupadd --gid 10001 taskcore \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin taskcore \
    && install --directory --mode 0770 --owner 10001 --group 0 /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    SERVER_HOST=0.0.0.0 \
    SERVER_PORT=8000
# Any user may enter it, and any `--user` runs: OpenShift picks a uid of its own, in group 0.
WORKDIR /app
USER 10001:10001
EXPOSE 8000
# /livez, not /readyz: a container must not be replaced because its database is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"SERVER_PORT\"]}/livez', timeout=3)"]
CMD ["taskcli", "serve"]
