//! The limits of the systemd unit fit those of the gateway.

use super::numbers::constant;

const UNIT: &str = include_str!("../../../deploy/systemd/bedrock-gateway.service");

/// The value of a setting of the unit, with this unit of measurement at its end.
fn setting(name: &str, measured_in: &str) -> u128 {
    let values: Vec<&str> =
        UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
    let [value] = values[..] else { panic!("{name}: {values:?}") };
    value
        .strip_suffix(measured_in)
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{name}={value}"))
}

/// systemd sends SIGKILL after the drain by the defaults, and not during it. `drain_delay` is zero by default.
#[test]
fn the_unit_waits_for_the_drain() {
    let drain = constant("config/listen.rs", "DRAIN_TIMEOUT").unwrap();
    let margin = 15_000;
    assert!(setting("TimeoutStopSec", "s") * 1_000 >= drain.value + margin, "{drain:?}");
}

/// The process may open all its connections by the defaults, and some files.
#[test]
fn the_unit_allows_as_many_files_as_the_limits_need() {
    let connections = constant("server/connections.rs", "CONNECTIONS").unwrap().value;
    let in_flight = constant("limits/requests.rs", "IN_FLIGHT").unwrap().value;
    let others = 1_000;
    assert!(setting("LimitNOFILE", "") >= connections + in_flight + others);
}
