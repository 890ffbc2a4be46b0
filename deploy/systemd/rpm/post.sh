# After the installation and each upgrade: $1 is the number of installed versions.
systemd-sysusers bedrock-gateway.conf || true
systemd-tmpfiles --create bedrock-gateway.conf || true
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
