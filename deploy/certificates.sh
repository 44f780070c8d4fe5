#!/bin/sh
# Makes certificates for trying things out: a root, a server's certificate for localhost and further names, and a
# client's. Usage: deploy/certificates.sh FOLDER [NAME-OR-ADDRESS …]
#
# They are for tests and benchmarks: the root's private key lies beside them. In production use your own authority.
set -eu

folder=${1:?usage: deploy/certificates.sh FOLDER [NAME-OR-ADDRESS ...]}
shift
umask 077
mkdir -p "$folder"
cd "$folder"

names="DNS:localhost,IP:127.0.0.1,IP:::1"
for name in "$@"; do
    case $name in
        *[!0-9.]*) names="$names,DNS:$name" ;;
        *) names="$names,IP:$name" ;;
    esac
done

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null
}

# sign NAME SUBJECT EXTENSIONS
sign() {
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
    printf '%s\n' "$3" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.ext" \
        -out "$1.pem" 2>/dev/null
    rm "$1.csr" "$1.ext"
}

key ca.key
openssl req -x509 -new -key ca.key -subj "/CN=Tallystick test root" -days 365 -out ca.pem \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
sign server localhost "subjectAltName=$names
extendedKeyUsage=serverAuth
keyUsage=digitalSignature"
sign client test-client "subjectAltName=DNS:test-client.example,URI:spiffe://example/test-client
extendedKeyUsage=clientAuth
keyUsage=digitalSignature"
rm -f ca.srl
echo "$folder: ca.pem, server.pem, server.key, client.pem, client.key"
