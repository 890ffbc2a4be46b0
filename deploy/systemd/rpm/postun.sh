# After an upgrade, a gateway that ran runs the new version; it drains first.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    if [ "$1" -ge 1 ]; then
        systemctl try-restart bedrock-gateway.service || true
    fi
fi
