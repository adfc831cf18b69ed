# The HTTP API alone: no torch, no model, no git. Build from the top of the tree:
#   docker build --file deploy/api.Dockerfile --tag routeprint-api .
# PIP_ARGS passes an index of your own to pip.

FROM python:3.12-bookworm AS build
ARG PIP_ARGS=""
WORKDIR /src
COPY requirements.lock deploy/requirements-api.txt ./
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# PIP_ARGS is a list of words
# hadolint ignore=SC2086
RUN python -m venv /opt/routeprint \
 && /opt/routeprint/bin/pip install --no-cache-dir ${PIP_ARGS} --requirement requirements-api.txt \
      "$(grep '^setuptools==' requirements.lock)"
COPY pyproject.toml README.md LICENSE ./
COPY connectors connectors
COPY fingerprint fingerprint
COPY service service
# the embedded base stays out: nothing is scored here
RUN rm -rf fingerprint/starter/model fingerprint/starter/routes \
 && /opt/routeprint/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/routeprint/bin/pip uninstall --yes setuptools pip

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 routeprint \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/routeprint routeprint \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/routeprint
COPY --from=build /opt/routeprint /opt/routeprint
ENV PATH=/opt/routeprint/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ROUTEPRINT_HOME=/var/lib/routeprint \
    ROUTEPRINT_LOG_FORMAT=json
USER 10001:10001
VOLUME /var/lib/routeprint
EXPOSE 8710
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8710/readyz', timeout=4)"]
ENTRYPOINT ["routeprint"]
CMD ["serve", "--api-only", "--host", "0.0.0.0"]
