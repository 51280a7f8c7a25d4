# Everything but Vivado: trains, exports, generates and verifies accelerators.
#   docker build -t bitexpert .
#   docker run --rm -v "$PWD/out:/out" bitexpert demo --out /out/demo
FROM python:3.11-slim-bookworm

# Debian keeps one version of a package at a time, so a pin would break the build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /bitexpert
COPY . .
RUN make setup && useradd --create-home --uid 1000 user && mkdir /out && chown 1000 /out

USER 1000
ENV PATH="/bitexpert/.venv/bin:${PATH}"
ENTRYPOINT ["bitexpert"]
CMD ["--help"]
