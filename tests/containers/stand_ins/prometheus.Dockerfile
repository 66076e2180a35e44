# Debian's Prometheus, where upstream's image cannot be pulled.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /build
# Only the program: the package would make a user and start a service.
RUN apt-get update && apt-get download prometheus && dpkg-deb --extract prometheus_*.deb package \
    && install package/usr/bin/prometheus /usr/bin/ && rm -rf /build/* /var/lib/apt/lists/*
WORKDIR /
ENTRYPOINT ["/usr/bin/prometheus"]
