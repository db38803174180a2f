#!/bin/sh
# Stands in for a Lambda function: the payload, which lists the models, becomes
# the artifact that is deployed. Run again it writes the same file.
set -e
payload=$(cat)
name=bundle-$(printf %s "$payload" | cksum | cut -d ' ' -f 1).json
mkdir -p bucket/models
printf '%s\n' "$payload" > "bucket/models/$name"
echo "{\"ModelArtifact\": \"s3://ml-data/models/$name\"}"
