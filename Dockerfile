# One target per program. An image holds one static binary and nothing else: no shell, no package, nothing to patch.
# "make build" puts the binaries in bin/linux-ARCH; "make images" or docker buildx only pack them:
#
#   make build && docker buildx build --platform linux/amd64,linux/arm64 --target controller .
#
# Certificate authorities. A program that only talks to the API server trusts the cluster's own CA, which is in every pod.
# The controller also posts alerts to HTTPS elsewhere: it has golang.org/x/crypto/x509roots/fallback in it, Mozilla's roots,
# pinned by go.sum like any other dependency and updated with it, instead of a bundle that depends on the machine that
# built the image. They are used only where no bundle is mounted, so a private CA works as usual: mount it at
# /etc/ssl/certs/ca-certificates.crt or name it in SSL_CERT_FILE.

ARG VERSION=dev
ARG REVISION=unknown

FROM scratch AS base
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="inpod"
# A number, so that Kubernetes sees that it is not root (runAsNonRoot) without a user database in the image.
USER 65532:65532

FROM base AS controller
ARG TARGETARCH
LABEL org.opencontainers.image.title="inpod controller" \
      org.opencontainers.image.description="Rolls or reloads workloads when a ConfigMap or Secret they use changes"
COPY --chmod=0555 bin/linux-${TARGETARCH}/controller /controller
EXPOSE 9090
ENTRYPOINT ["/controller"]

FROM base AS injector
ARG TARGETARCH
LABEL org.opencontainers.image.title="inpod injector" \
      org.opencontainers.image.description="Admission webhook that adds the inpod sidecar to pods that ask for it"
COPY --chmod=0555 bin/linux-${TARGETARCH}/injector /injector
EXPOSE 9443 9090
ENTRYPOINT ["/injector"]

FROM base AS sidecar
ARG TARGETARCH
LABEL org.opencontainers.image.title="inpod sidecar" \
      org.opencontainers.image.description="Reloads the application in its pod when its files change"
COPY --chmod=0555 bin/linux-${TARGETARCH}/sidecar /sidecar
EXPOSE 27467
ENTRYPOINT ["/sidecar"]
