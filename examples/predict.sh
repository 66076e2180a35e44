#!/usr/bin/env bash
# Ask the service with curl: upload, then V2 in JSON with base64.  usage: examples/predict.sh FILM
set -euo pipefail
film=$1
state=${CXR_STATE:-runs/serving}
url=${CXR_URL:-https://localhost:8443}
ask=(curl --silent --show-error --fail-with-body --cacert "$state/tls/ca.pem" --header "X-API-Key: $(cat "$state/client.key")")

"${ask[@]}" --form "file=@$film" "$url/predict"
echo
printf '{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["%s"]}]}' "$(base64 -w0 "$film")" |
  "${ask[@]}" --header "Content-Type: application/json" --data-binary @- "$url/v2/models/cxr/infer"
echo
