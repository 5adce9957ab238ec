# syntax=docker/dockerfile:1
# Another base is given with --build-arg BASE=..., best by its digest.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/llmitm
COPY requirements.txt .
RUN /opt/llmitm/bin/pip install --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE config.toml.example ./
COPY addons addons
RUN /opt/llmitm/bin/pip install --no-deps .

FROM ${BASE}
# how `llmitm update` knows that it is an image that is replaced
ENV LLMITM_INSTALLED_AS=container \
    PATH=/opt/llmitm/bin:$PATH \
    CONFIG_PATH=/data/config.toml \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 llmitm \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin llmitm \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/llmitm /opt/llmitm
# the configuration and all that is kept beside it: the one place that is written to
VOLUME /data
WORKDIR /data
USER 10001:10001
EXPOSE 8811 8812
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s \
    CMD ["python", "-P", "-m", "llmitm.service.probe"]
ENTRYPOINT ["llmitm"]
CMD ["run", "--host", "0.0.0.0"]
