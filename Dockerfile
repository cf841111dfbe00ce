# Two stages: a build with Rust and a C compiler, and an image that runs as nobody.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM docker.io/library/debian:bookworm-slim
# Whom to trust, Ceph's libraries for images in RBD, and qemu-img for image_conversion.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates librbd1 qemu-utils \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 64061 --home-dir /var/lib/fresnel --create-home fresnel
COPY --from=build /src/target/release/fresnel /usr/local/bin/fresnel
USER fresnel
WORKDIR /var/lib/fresnel
ENV FRESNEL_DATA=/var/lib/fresnel
EXPOSE 9292
# Without a configuration file there is no authentication, so it listens on the loopback only:
# mount a configuration and add `--config-file`.
ENTRYPOINT ["/usr/local/bin/fresnel"]
CMD ["serve"]
