//! The command `probe`, which a container's health check runs.

use bedrock_bed::{Bed, Process, Setup, Signal, free_addresses, until};

use crate::process::{Ended, binary, run};

async fn probe(arguments: &[&str]) -> Ended {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let asking = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&[&["probe"], &arguments[..]].concat(), "")
    };
    tokio::task::spawn_blocking(asking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_healthy_while_its_gateway_is_ready() {
    let bed = Bed::start();
    let [http, port] = free_addresses();
    let addresses = bedrock_bed::Addresses { http: Some(http), probe: Some(port), https: None, admin: None };
    let listen = "drain_delay = \"10m\"";
    let file = bed.write(&Setup { addresses, listen, ..Setup::default() });
    let file = file.to_str().unwrap();
    let named = format!("localhost:{}", port.port());
    let port = port.to_string();

    let before = probe(&["--config", file]).await;
    assert_eq!(before.code, Some(1), "{}", before.out);
    assert!(before.err.contains("cannot connect"), "{}", before.err);

    let mut command = binary();
    let gateway = Process::spawn(bed.complete(&mut command, std::path::Path::new(file)));
    until("a ready gateway", async || probe(&["--config", file]).await.code == Some(0)).await;
    let ready = probe(&["--address", &port]).await;
    assert_eq!((ready.code, &*ready.out), (Some(0), "ready\n"));
    // The gateway listens on one of the addresses that the name has.
    let ready = probe(&["--address", &named]).await;
    assert_eq!((ready.code, &*ready.out), (Some(0), "ready\n"), "{}", ready.err);

    // While it drains it still answers, and is not ready.
    gateway.signal(Signal::TERM);
    until("a gateway that drains", async || probe(&["--address", &port]).await.code == Some(1)).await;
    let draining = probe(&["--address", &port]).await;
    assert!(draining.err.contains("is not ready (503"), "{}", draining.err);
    let alive = probe(&["--address", &port, "--live"]).await;
    assert_eq!((alive.code, &*alive.out), (Some(0), "alive\n"));
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_port_that_never_answers_is_unhealthy_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let late = probe(&["--address", &address, "--timeout", "1"]).await;
    assert_eq!(late.code, Some(1));
    assert!(late.err.contains("did not answer within 1 s"), "{}", late.err);
    let garbage = probe(&["--address", "localhost"]).await;
    assert_eq!(garbage.code, Some(2), "{}", garbage.err);
    assert!(garbage.err.contains("write host and port"), "{}", garbage.err);
    // No name has a part of 64 letters, so no server is asked.
    let unknown = probe(&["--address", &format!("{}.invalid:9090", "a".repeat(64))]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("its name cannot be resolved"), "{}", unknown.err);
}
