# The same command as on the laptop, as a small image: non-root, on a read-only file system.
#   docker build -t gateway .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -v gateway-state:/var/lib/gateway -v "$PWD/gateway.yaml:/etc/gateway/gateway.yaml:ro" -p 8000:8000 gateway
# The control plane listens on the container's own loopback: docker exec, or a sidecar in the same network namespace.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/gateway
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /opt/gateway/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY gateway gateway
RUN /opt/gateway/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
ENV PATH=/opt/gateway/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TZ=UTC \
    GATEWAY_STATE_DIR=/var/lib/gateway \
    GATEWAY_DATA_HOST=0.0.0.0
COPY --from=build /opt/gateway /opt/gateway
RUN mkdir -p /var/lib/gateway && chown 10001:10001 /var/lib/gateway
USER 10001:10001
VOLUME /var/lib/gateway
WORKDIR /var/lib/gateway
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=1)"]
CMD ["gateway", "serve", "--config", "/etc/gateway/gateway.yaml"]
