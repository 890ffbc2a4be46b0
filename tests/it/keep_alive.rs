//! TCP keep-alive: the kernel's own timers of the gateway's connections. `tests/idle` shows what they are good for.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bedrock_bed::until;
use tokio::net::TcpStream;

use crate::world::{CONVERSE_STREAM, HELLO, World, post, read};

/// The shortest idle timeout that a network load balancer can have.
const SHORTEST: Duration = Duration::from_secs(60);

/// A row of `/proc/net/tcp`.
#[derive(Debug)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    /// The time to the next probe, if keep-alive is on.
    next_probe: Option<Duration>,
}

/// The established IPv4 connections of this network. Of a connection on loopback, each end is a row.
fn established() -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).filter_map(socket).collect()
}

fn socket(row: &str) -> Option<Socket> {
    let mut columns = row.split_whitespace().skip(1);
    let (local, remote, state) = (columns.next()?, columns.next()?, columns.next()?);
    let (timer, ticks) = columns.nth(1)?.split_once(':')?;
    // The kernel counts 100 ticks a second for programs, on every machine.
    let left = Duration::from_millis(u64::from_str_radix(ticks, 16).ok()? * 10);
    let row = Socket {
        local: address(local)?,
        remote: address(remote)?,
        next_probe: (timer == "02").then_some(left),
    };
    (state == "01").then_some(row)
}

/// `0100007F:1F90` is 127.0.0.1:8080.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some(SocketAddrV4::new(ip, u16::from_str_radix(port, 16).ok()?).into())
}

/// Waits until `count` sockets that `is_one` selects have a timer below a minute. While an acknowledgement is on its
/// way, a socket has another timer.
async fn probe_in_time(what: &str, count: usize, is_one: impl Fn(&Socket) -> bool) {
    until(&format!("the timers of {what}"), async || {
        let sockets: Vec<_> = established().into_iter().filter(&is_one).collect();
        sockets.len() == count
            && sockets.iter().all(|socket| socket.next_probe.is_some_and(|next| next < SHORTEST))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_on_both_sides_are_probed_within_a_minute_of_silence() {
    let world = World::start().await;
    let token = world.token("alice");
    world.standin.bedrock.hold();
    let h1 = world.open(post(CONVERSE_STREAM, &token, HELLO)).await;
    let h2 = world.open_h2c(post(CONVERSE_STREAM, &token, HELLO)).await;
    let gateway = world.gateway.addresses().http.unwrap();
    let bedrock = world.standin.bedrock.server().addr();
    probe_in_time("silent streams of callers", 2, |socket| socket.local == gateway).await;
    probe_in_time("silent streams of Bedrock", 2, |socket| socket.remote == bedrock).await;
    // The clients' ends have none: the test sees the gateway's timers.
    let clients = established().into_iter().filter(|socket| socket.remote == gateway);
    assert!(clients.map(|socket| socket.next_probe).all(|next| next.is_none()));

    world.standin.bedrock.flow();
    assert!(!read(h1).await.body.is_empty());
    assert!(!read(h2).await.body.is_empty());
    probe_in_time("idle connections to Bedrock", 2, |socket| socket.remote == bedrock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_probes_its_clients() {
    let world = World::start().await;
    let addresses = world.gateway.addresses();
    for listener in [addresses.https, addresses.http, addresses.probe, addresses.admin] {
        let listener = listener.unwrap();
        let client = TcpStream::connect(listener).await.unwrap();
        probe_in_time("a client", 1, |socket| socket.local == listener).await;
        drop(client);
    }
}
