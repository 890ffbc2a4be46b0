//! TCP keep-alive, the same for connections of callers and for those to Bedrock. A load balancer or NAT gateway between
//! two machines forgets a connection unless it sees a packet in time.

use std::time::Duration;

/// The silence before the first probe. Load balancers and NAT gateways may forget a connection that is silent for 60 s
/// (the shortest idle timeout of a network load balancer) to 350 s (the default).
// Assumption A36.
pub(crate) const AFTER: Duration = Duration::from_secs(45);
/// The time between two probes without an answer. After an answered probe, Linux waits for the longer one of this and
/// [`AFTER`]; the system's default of 75 s would be too long.
pub(crate) const EVERY: Duration = Duration::from_secs(15);
/// After this number of probes without an answer the connection is closed.
pub(crate) const PROBES: u32 = 4;
