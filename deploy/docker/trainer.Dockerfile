# syntax=docker/dockerfile:1
# The trainer, with torch: docker build --file deploy/docker/trainer.Dockerfile --tag sie-trainer .
ARG PYTHON=3.11.13-slim-bookworm

FROM python:${PYTHON} AS build
# PyPI's torch brings CUDA, 6 GB; where there is no GPU: --build-arg TORCH_BACKEND=cpu
ARG TORCH_BACKEND=""
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
    deploy/docker/install.sh worker,trainer /opt/sie

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="sie-online trainer" \
      org.opencontainers.image.description="Fits noise model and importance net beside the stream" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 sie && useradd --uid 10001 --gid sie --no-create-home --home-dir /nonexistent sie \
    && install -d -o sie -g sie /var/lib/sie /var/cache/sie /var/tmp/sie
COPY --from=build /opt/sie /opt/sie
COPY deploy/docker/healthcheck.py /opt/sie/healthcheck.py

# The root may be read-only: what is written lies in these volumes. A fit of the noise model compiles what it needs
# beside a worker's kernels into the cache.
ENV PATH=/opt/sie/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SIE_CACHE_DIR=/var/cache/sie \
    TMPDIR=/var/tmp/sie \
    SIE_TRAINER__WEB__HOST=0.0.0.0
VOLUME ["/var/lib/sie", "/var/cache/sie", "/var/tmp/sie"]
USER 10001:10001
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["python", "/opt/sie/healthcheck.py", "8081"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sie"]
CMD ["trainer"]
