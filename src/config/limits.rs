//! `[limits]`: what callers may use at once, of one gateway and of one principal.

use super::Listen;
use super::diagnostics::Diagnostics;
use super::raw::{self, Spanned, Text};
use crate::limits::memory::{Bytes, MEMORY_BYTES, MemoryLimits, PRINCIPAL_BYTES};
use crate::limits::requests::{IN_FLIGHT, PER_PRINCIPAL, RequestLimits};
use crate::server::connections::{CONNECTIONS, ConnectionLimits, H2_STREAMS};

/// Connections and requests are tasks in memory, so a larger number is a mistake.
pub(super) const MOST: usize = 1_000_000;
/// More streams on one connection than this would share its one TCP window badly.
const MOST_STREAMS: u32 = 10_000;
/// The smallest memory in which ordinary requests fit.
const LEAST_MEMORY: usize = 1 << 20;
const MOST_MEMORY: usize = 1 << 40;

/// The table `[limits]`. A reload changes all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: ConnectionLimits,
    pub requests: RequestLimits,
    pub memory: MemoryLimits,
}

/// The limits. Those of one principal are at most those of all.
pub(super) fn limits(
    raw: &raw::Limits,
    listen: (&Listen, Option<&Text>),
    diagnostics: &mut Diagnostics<'_>,
) -> Limits {
    let connections = ConnectionLimits {
        connections: diagnostics.number(raw.connections.as_ref(), 1..=MOST).unwrap_or(CONNECTIONS),
        streams: diagnostics
            .number(raw.streams_per_connection.as_ref(), 1..=MOST_STREAMS)
            .unwrap_or(H2_STREAMS),
    };
    Limits { connections, requests: requests(raw, diagnostics), memory: memory(raw, listen, diagnostics) }
}

fn requests(raw: &raw::Limits, diagnostics: &mut Diagnostics<'_>) -> RequestLimits {
    let all = diagnostics.number(raw.requests.as_ref(), 1..=MOST).unwrap_or(IN_FLIGHT);
    let one = diagnostics.number(raw.requests_per_principal.as_ref(), 1..=MOST);
    if let (Some(one), Some(text)) = (one, &raw.requests_per_principal)
        && one > all
    {
        let message = format!("{one} is more than limits.requests, which is {all}, so it limits nothing");
        diagnostics.error(text.span(), message, format!("write at most {all}, or raise limits.requests"));
    }
    RequestLimits { all, per_principal: one.unwrap_or_else(|| PER_PRINCIPAL.min(all)) }
}

fn memory(
    raw: &raw::Limits,
    (listen, max_body_at): (&Listen, Option<&Text>),
    diagnostics: &mut Diagnostics<'_>,
) -> MemoryLimits {
    let bounds = LEAST_MEMORY..=MOST_MEMORY;
    let all = diagnostics.size(raw.body_memory.as_ref(), bounds.clone()).unwrap_or(MEMORY_BYTES);
    let one = diagnostics.size(raw.body_memory_per_principal.as_ref(), bounds);
    let max_body = listen.max_body;
    if let Some(at) = max_body_at.or(raw.body_memory.as_ref())
        && max_body > all
    {
        let message = format!(
            "listen.max_body is {}, and limits.body_memory is {}: the largest body would never fit",
            Bytes(max_body),
            Bytes(all)
        );
        diagnostics.error(at.span(), message, "lower listen.max_body, or raise limits.body_memory");
    }
    if let (Some(one), Some(text)) = (one, &raw.body_memory_per_principal) {
        if one > all {
            let message = format!("{text} is more than limits.body_memory, which is {}", Bytes(all));
            diagnostics.error(text.span(), message, "lower it, or raise limits.body_memory");
        } else if one < max_body {
            let message = format!(
                "{text} is less than listen.max_body, which is {}: the largest body would never fit",
                Bytes(max_body)
            );
            diagnostics.error(text.span(), message, "raise it, or lower listen.max_body");
        }
    }
    MemoryLimits { all, per_principal: one.unwrap_or_else(|| PRINCIPAL_BYTES.max(max_body).min(all)) }
}

/// Reports roles that allow more than the gateway does.
pub(super) fn check_roles(tables: &[Spanned<raw::Role>], limits: &Limits, diagnostics: &mut Diagnostics<'_>) {
    let all = limits.requests.all;
    let written = tables.iter().filter_map(|table| table.get_ref().concurrency.as_ref());
    for number in written.filter(|number| *number.get_ref() > all) {
        let message = format!("{number} is more than limits.requests, which is {all}");
        let help = format!("write at most {all}, or raise limits.requests");
        diagnostics.error(number.span(), message, help);
    }
}
