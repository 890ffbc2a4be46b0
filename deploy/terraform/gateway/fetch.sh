#!/bin/sh
# The sidecar of an ECS task: copies the gateway's files from S3, and its certificate from Secrets
# Manager, into the folder that both containers mount. A file is replaced by a rename, so the gateway
# never reads half of it. A failed fetch changes nothing.
#
#   BUCKET, PREFIX   the objects s3://BUCKET/PREFIX without a further slash: gateway/gateway.toml
#   FOLDER           where the files go
#   REQUIRED         the files without which the task does not start, separated by spaces
#   INTERVAL         seconds between two looks at S3. Default: 15
#   TLS_SECRET       the secret with a PEM text: certificate, intermediate certificates, private key;
#                    empty: none
#   TLS_ROUNDS       every which look at S3 reads the secret too; after a failure, each. Default: 20
#
# Needs a POSIX shell, the AWS CLI and coreutils. .ci/stacks/run tries it against an S3 of its own.
set -u
umask 022
state=$FOLDER/.fetch
mkdir -p "$state"
export AWS_PAGER='' AWS_MAX_ATTEMPTS=2
trap 'exit 0' TERM INT

problem() { printf 'fetch: error: %s\n' "$*" >&2; }

call() { aws --cli-connect-timeout 5 --cli-read-timeout 10 "$@"; }

# Makes a complete file visible under its name. The gateway runs as another user, and no other
# container mounts this volume.
publish() {
    chmod 0644 "$state/$1.new" && mv -f "$state/$1.new" "$FOLDER/$1" && printf 'fetch: %s is new\n' "$1"
}

# One call finds every change. The ETag in the second call makes sure that the file is the listed one.
objects() {
    call s3api list-objects-v2 --bucket "$BUCKET" --prefix "$PREFIX" --query 'Contents[].[ETag,Key]' \
        --output text >"$state/list" || { problem "cannot list s3://$BUCKET/$PREFIX"; return; }
    seen=' '
    while IFS='	' read -r etag key; do
        name=${key#"$PREFIX"}
        case $name in '' | .* | *[!A-Za-z0-9._-]*) continue ;; esac
        seen="$seen$name "
        [ "$etag" = "$(cat "$state/$name.etag" 2>/dev/null)" ] && [ -f "$FOLDER/$name" ] && continue
        if call s3api get-object --bucket "$BUCKET" --key "$key" --if-match "$etag" \
            "$state/$name.new" >/dev/null && publish "$name"; then
            printf '%s\n' "$etag" >"$state/$name.etag"
        else
            problem "cannot fetch s3://$BUCKET/$key"
        fi
    done <"$state/list"
    for file in "$state"/*.etag; do
        name=${file##*/} name=${name%.etag}
        case $seen in *" $name "*) continue ;; esac
        [ -f "$file" ] && problem "s3://$BUCKET/$PREFIX$name is gone; the task keeps its last copy"
    done
}

certificate() {
    call secretsmanager get-secret-value --secret-id "$TLS_SECRET" --query SecretString --output text \
        >"$state/tls.pem.new" || { problem "cannot read the secret $TLS_SECRET"; return 1; }
    [ "$(cat "$state/tls.pem.new")" = "$(cat "$FOLDER/tls.pem" 2>/dev/null)" ] && return
    case $(cat "$state/tls.pem.new") in
    -----BEGIN*) publish tls.pem && return; problem "cannot write tls.pem" ;;
    *) problem "the secret $TLS_SECRET is no PEM text" ;;
    esac
    return 1
}

rest=0
while :; do
    objects
    # Rarely, because a certificate changes rarely, and each call to Secrets Manager costs.
    if [ -n "${TLS_SECRET:-}" ]; then
        # After a failure each look reads it, so that the alarm FilesAreOld counts the errors.
        if [ "$rest" -le 0 ] || [ ! -f "$FOLDER/tls.pem" ]; then certificate && rest=${TLS_ROUNDS:-20}; fi
        rest=$((rest - 1))
    fi
    missing=
    for name in $REQUIRED; do [ -f "$FOLDER/$name" ] || missing="$missing $name"; done
    if [ -z "$missing" ]; then : >"$state/ready"; else problem "missing:$missing"; fi
    # In the background, because a shell handles SIGTERM only between two commands of the foreground.
    sleep "${INTERVAL:-15}" &
    wait $!
done
