# Before the removal of the last version.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now bedrock-gateway.service || true
fi
