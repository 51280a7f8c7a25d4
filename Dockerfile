# Everything but Vivado: trains, exports, generates and verifies accelerators.
#   docker build -t bitexpert .
#   docker run --rm -v "$PWD/out:/out" bitexpert demo --out /out
FROM python:3.11-slim-bookworm

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /bitexpert
COPY . .
RUN make setup && useradd --create-home user && mkdir /out && chown user /out

USER user
ENV PATH="/bitexpert/.venv/bin:${PATH}"
ENTRYPOINT ["bitexpert"]
CMD ["--help"]
