# syntax=docker/dockerfile:1
# The worker, without torch: docker build --file deploy/docker/worker.Dockerfile --tag sie-worker .
# A sink, with what writes Delta tables, 147 MB: … --build-arg EXTRAS=worker,lake --tag sie-sink .
ARG PYTHON=3.11.13-slim-bookworm

FROM python:${PYTHON} AS build
ARG EXTRAS=worker
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
    deploy/docker/install.sh "$EXTRAS" /opt/sie

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="sie-online worker" \
      org.opencontainers.image.description="Weighs events of a Kafka topic as they come" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 sie && useradd --uid 10001 --gid sie --no-create-home --home-dir /nonexistent sie \
    && install -d -o sie -g sie /var/lib/sie /var/cache/sie /var/tmp/sie
COPY --from=build /opt/sie /opt/sie
COPY deploy/docker/healthcheck.py /opt/sie/healthcheck.py

# The root may be read-only: what is written lies in these volumes. TMPDIR holds open views, and must be a disk.
ENV PATH=/opt/sie/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SIE_CACHE_DIR=/var/cache/sie \
    TMPDIR=/var/tmp/sie \
    SIE_WEB__HOST=0.0.0.0
VOLUME ["/var/lib/sie", "/var/cache/sie", "/var/tmp/sie"]
USER 10001:10001
EXPOSE 8080
# Alive, not ready: a worker waits for its brokers, and restarting it would change nothing
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["python", "/opt/sie/healthcheck.py", "8080"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sie"]
CMD ["worker"]
