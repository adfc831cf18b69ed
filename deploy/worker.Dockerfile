# A worker, or everything in one container: torch, git and the embedded base. From the top of the tree:
#   docker build --file deploy/worker.Dockerfile --tag routeprint-worker:cpu \
#     --build-arg PIP_ARGS="--extra-index-url <the index for CPU>" .
#   docker build --file deploy/worker.Dockerfile --tag routeprint-worker:cuda --build-arg DEVICE=cuda \
#     --build-arg PIP_ARGS="--extra-index-url <the index for your CUDA version>" .
# The wheel brings CUDA's libraries; the host brings the driver and NVIDIA's container toolkit.

FROM python:3.12-bookworm AS build
ARG PIP_ARGS=""
WORKDIR /src
COPY requirements.lock ./
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# PIP_ARGS is a list of words
# hadolint ignore=SC2086
RUN python -m venv /opt/routeprint \
 && /opt/routeprint/bin/pip install --no-cache-dir ${PIP_ARGS} --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY connectors connectors
COPY fingerprint fingerprint
COPY service service
RUN /opt/routeprint/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
ARG DEVICE=cpu
# git's version is not pinned: its security fixes come with the base image's release
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 routeprint \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/routeprint routeprint \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/routeprint
COPY --from=build /opt/routeprint /opt/routeprint
# hadolint ignore=DL3064
ENV PATH=/opt/routeprint/bin:$PATH \
    OMP_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ROUTEPRINT_DEVICE=${DEVICE} \
    ROUTEPRINT_HOME=/var/lib/routeprint \
    ROUTEPRINT_LOG_FORMAT=json \
    TOKENIZERS_PARALLELISM=false
USER 10001:10001
VOLUME /var/lib/routeprint
# A worker serves nothing that could be asked: that it runs is all a container can be seen to do. Whether it
# works is in the database, where the other workers watch its heartbeat and take its jobs when it stops.
HEALTHCHECK NONE
ENTRYPOINT ["routeprint"]
CMD ["work"]
