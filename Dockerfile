# One static binary and nothing else: no shell, no package manager, no root.
#
#   docker build -t anneal .
#   docker run --read-only -v anneal-data:/data -v ./etc:/etc/anneal:ro anneal
#
# Jobs that anneal starts as local commands run in the same image. Build one
# from your trainer's image and copy the binary into it:
#
#   COPY --from=anneal /anneal /usr/local/bin/anneal

FROM golang:1.26 AS build
WORKDIR /src
ENV CGO_ENABLED=0
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -trimpath -ldflags="-s -w" -o /out/anneal ./cmd/anneal
# A new volume takes its owner from this folder.
RUN mkdir /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/anneal /anneal
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
# The journal and the folders of local jobs. It must be a disk whose locks and
# fdatasync hold; see deploy/README.md.
VOLUME ["/data"]
# The API, health and metrics, once the settings listen off loopback.
EXPOSE 8080
ENTRYPOINT ["/anneal"]
CMD ["serve", "--config", "/etc/anneal/anneal.yaml"]
