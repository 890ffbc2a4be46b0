//! The bounds of `[limits]` and of the timeouts of `[aws]`, and how they fit together.

use super::*;
use crate::limits::memory::MemoryLimits;
use crate::limits::requests::RequestLimits;

fn limits(lines: &str) -> String {
    format!("[limits]\n{lines}\n[sessions]")
}

fn refused_limit(lines: &str, place: &str, words: &str) {
    let key = place.split(' ').next().unwrap();
    refused("[sessions]", &limits(lines), place, &format!("limits.{key}"), words);
}

#[test]
fn each_limit_has_bounds() {
    for key in ["connections", "requests", "requests_per_principal"] {
        for out in ["0", "1_000_001"] {
            refused_limit(&format!("{key} = {out}"), key, "out of bounds");
        }
    }
    for out in ["0", "10_001"] {
        refused_limit(&format!("streams_per_connection = {out}"), "streams_per_connection", "out of bounds");
    }
    for key in ["body_memory", "body_memory_per_principal"] {
        for out in ["1023KiB", "1025GiB"] {
            refused_limit(&format!("{key} = \"{out}\""), key, "out of bounds");
        }
        refused_limit(&format!("{key} = \"1MB\""), key, "not a size");
    }
    role("concurrency = 0", "role[0].concurrency", "out of bounds");
    let keys = [
        ("connect_timeout", "99ms", "1m1s"),
        ("first_byte_timeout", "999ms", "24h1s"),
        ("stream_idle_timeout", "1s", "24h1s"),
        ("sts_timeout", "999ms", "1m1s"),
    ];
    for (key, short, long) in keys {
        for out in [short, long] {
            let line = format!("regions = [\"us-west-2\"]\n{key} = \"{out}\"");
            refused("regions = [\"us-west-2\"]", &line, key, &format!("aws.{key}"), " is too ");
        }
    }
}

#[test]
fn the_limits_of_one_principal_are_at_most_those_of_all() {
    let more = "requests = 100\nrequests_per_principal = 101";
    refused_limit(more, "requests_per_principal =", "more than limits.requests, which is 100");
    refused_limit("requests_per_principal = 5000", "requests_per_principal", "which is 4096");
    role("concurrency = 4097", "role[0].concurrency", "more than limits.requests, which is 4096");
    let more = "body_memory = \"64MiB\"\nbody_memory_per_principal = \"65MiB\"";
    refused_limit(more, "body_memory_per_principal", "more than limits.body_memory, which is 64 MiB");
    refused_limit("body_memory_per_principal = \"31MiB\"", "body_memory_per_principal", "is 32 MiB");
    refused_limit("body_memory = \"16MiB\"", "body_memory", "the largest body would never fit");
    let both = with("http = \"127.0.0.1:8080\"\n", "http = \"127.0.0.1:8080\"\nmax_body = \"65MiB\"\n")
        .replace("[sessions]", &limits("body_memory = \"64MiB\""));
    fails(&both, "max_body", "listen.max_body", "the largest body would never fit");
}

#[test]
fn defaults_follow_what_is_set() {
    let parsed = |lines: &str| parse(&with("[sessions]", &limits(lines))).unwrap().limits;
    assert_eq!(parsed("").requests, RequestLimits::default());
    assert_eq!(parsed("").memory, MemoryLimits::default());
    assert_eq!(parsed("requests = 100").requests, RequestLimits { all: 100, per_principal: 100 });
    let memory = |all: usize, per_principal: usize| MemoryLimits {
        all: all << 20,
        per_principal: per_principal << 20,
    };
    assert_eq!(parsed("body_memory = \"64MiB\"").memory, memory(64, 64));
    let large = with("http = \"127.0.0.1:8080\"\n", "http = \"127.0.0.1:8080\"\nmax_body = \"256MiB\"\n");
    assert_eq!(parse(&large).unwrap().limits.memory, memory(512, 256));
}
