# syntax=docker/dockerfile:1
# Flux-Gate with everything built in: one node with its own store, a node of many, or a worker.
#
#   docker build -t flux-gate .
#   docker run --rm -p 3000:3000 -v flux-gate-data:/data flux-gate
#
# The result has no shell and no package manager. It runs as user 65532, needs no capability, and writes to /data alone:
# run it with --read-only --cap-drop ALL --security-opt no-new-privileges, as compose.yaml does.

FROM rust:1.95-bookworm AS build
# libssl-dev and pkg-config are in the image.
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --features distributed --package flux-gate \
    && install -D target/dist/flux-gate /out/usr/bin/flux-gate \
    && install -d -m 0700 /out/data

# Debian 12 without a shell: the C library, OpenSSL, the certificates of public authorities.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/usr/bin/flux-gate /usr/bin/flux-gate
# The operator's listener stays on 127.0.0.1 inside the container unless it is given another address and a certificate.
ENV FLUX_GATE__DATA__DIR=/data \
    FLUX_GATE__HTTP__LISTEN=0.0.0.0:3000
VOLUME /data
EXPOSE 3000 3001
# Ready or not: `flux-gate ready` inside (`ready --worker` for a worker), GET /readyz from outside.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/flux-gate"]
CMD ["serve"]
