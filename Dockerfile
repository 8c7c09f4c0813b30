# The paper exchange in a small image:
#
#   docker build -t paper-bitmex .
#   docker run --rm --network host paper-bitmex --port 8766
#
# Arguments are those of `python -m reconciler.paper --help`. It listens on 127.0.0.1 and nowhere
# else, in a container, too: its programs share its network, by `--network host`, or, without the
# host's, by `--network container:NAME`. docs/paper-exchange.md tells more.

FROM python:3.11-slim AS build
# Of all that the lock names, with its hashes: what makes a wheel, and what the exchange imports.
ARG BUILDS="hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers"
ARG SERVES="click|h11|httptools|msgspec|uvicorn|websockets"
WORKDIR /src
COPY scripts/lock/requirements.txt ./
RUN awk -v names="^($BUILDS)==" '/^[^ #]/ {keep = $0 ~ names} keep' requirements.txt >builds.txt \
 && awk -v names="^($SERVES)==" '/^[^ #]/ {keep = $0 ~ names} keep' requirements.txt >serves.txt
RUN python -m pip install --no-deps --require-hashes --requirement builds.txt
RUN python -m venv --without-pip /opt/paper \
 && python -m pip --python /opt/paper/bin/python install \
        --no-deps --require-hashes --requirement serves.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations ./migrations
COPY reconciler ./reconciler
RUN python -m hatchling build -t wheel -d /wheel \
 && python -m pip --python /opt/paper/bin/python install --no-deps --no-index /wheel/*.whl

FROM python:3.11-slim
COPY --from=build /opt/paper /opt/paper
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8766
ENTRYPOINT ["/opt/paper/bin/python", "-m", "reconciler.paper"]
