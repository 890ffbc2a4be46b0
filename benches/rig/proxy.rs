//! The proxies that are compared, each as a process on the core for proxies.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bedrock_bed::{Addresses, Process, Setup, free_addresses};

use crate::load::{self, Target};
use crate::machine::{Cores, on, on_proxy_core};
use crate::upstream::CONVERSE;
use crate::world::World;

/// The kinds of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Nginx,
    Floor,
    /// The floor, which signs as well. It is not among [`Kind::ALL`].
    Signer,
    Gateway,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Floor, Self::Gateway];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Floor => "bare hyper",
            Self::Signer => "… signing",
            Self::Gateway => "gateway",
        }
    }
}

/// The protocol in front of a proxy. Behind a proxy it is HTTP/1.1, over TLS if the protocol in front uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Plain,
    Tls,
    /// HTTP/2 by prior knowledge.
    H2,
}

/// A gateway's program.
#[derive(Debug)]
pub(crate) struct Gateway {
    path: PathBuf,
    /// Whether its configuration has `[listen] workers`. An older gateway has one worker for each core.
    has_workers: bool,
}

impl Gateway {
    pub(crate) fn of(path: &Path) -> Self {
        let schema = Command::new(path).arg("schema").output().unwrap();
        let has_workers = String::from_utf8_lossy(&schema.stdout).contains("\"workers\"");
        Self { path: path.to_owned(), has_workers }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn has_workers(&self) -> bool {
        self.has_workers
    }

    /// Its configuration, with this many workers.
    pub(crate) fn file(&self, wire: Wire, world: &World, address: SocketAddr, workers: usize) -> PathBuf {
        let listen = if self.has_workers { format!("workers = {workers}") } else { String::new() };
        gateway_file(wire, world, address, &listen)
    }

    /// The gateway as an operator would run it, with the access log in a file.
    fn serve(
        &self,
        wire: Wire,
        world: &World,
        address: SocketAddr,
        (workers, cores): (usize, Cores),
    ) -> Command {
        let mut command = on(cores, &self.path);
        world.bed.complete(&mut command, &self.file(wire, world, address, workers));
        command
    }
}

/// A proxy that runs.
pub(crate) struct Proxy {
    kind: Kind,
    process: Process,
    target: Target,
}

impl Proxy {
    /// Starts a proxy on the core for proxies and waits until it answers.
    pub(crate) async fn start(kind: Kind, wire: Wire, world: &World, gateway: &Gateway) -> Self {
        Self::spawn(kind, wire, world, gateway).ready(wire, world).await
    }

    /// Starts a gateway with this many workers on these cores, and waits until it answers.
    pub(crate) async fn start_gateway(
        gateway: &Gateway,
        wire: Wire,
        world: &World,
        workers: usize,
        cores: Cores,
    ) -> Self {
        let [address] = free_addresses();
        let command = gateway.serve(wire, world, address, (workers, cores));
        Self::of(Kind::Gateway, wire, world, address, command).ready(wire, world).await
    }

    /// Starts a proxy on the core for proxies.
    pub(crate) fn spawn(kind: Kind, wire: Wire, world: &World, gateway: &Gateway) -> Self {
        let [address] = free_addresses();
        let command = match kind {
            Kind::Nginx => nginx(wire, world, address),
            Kind::Floor => floor(wire, world, address),
            Kind::Signer => {
                let mut command = floor(wire, world, address);
                command.arg("--sign");
                command
            }
            Kind::Gateway => gateway.serve(wire, world, address, (1, Cores::Proxy)),
        };
        Self::of(kind, wire, world, address, command)
    }

    fn of(kind: Kind, wire: Wire, world: &World, address: SocketAddr, mut command: Command) -> Self {
        let process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let tls = (wire == Wire::Tls).then(|| world.trusting.clone());
        Self { kind, process, target: Target { address, tls } }
    }

    async fn ready(self, wire: Wire, world: &World) -> Self {
        // On this port nginx speaks only HTTP/2, which `answers` does not.
        if (self.kind, wire) == (Kind::Nginx, Wire::H2) {
            load::listens(&self.target).await;
        } else {
            load::answers(&self.target, &world.requests(CONVERSE, 1024)[0]).await;
        }
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

/// nginx with one worker and keep-alive on both sides, without buffers for answers and without a log.
fn nginx(wire: Wire, world: &World, address: SocketAddr) -> Command {
    let folder = world.folder().display();
    let (door, scheme, upstream) = match wire {
        Wire::Plain => ("", "http", world.plain_upstream),
        Wire::H2 => ("http2", "http", world.plain_upstream),
        Wire::Tls => ("ssl", "https", world.tls_upstream),
    };
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
            uwsgi_temp_path {folder}; scgi_temp_path {folder};
            # As large as the largest body here: by default it goes by way of a file.
            client_body_buffer_size 256k;
            large_client_header_buffers 4 64k;
            http2_max_concurrent_streams 256;
            keepalive_requests 1000000000;
            upstream bedrock {{ server {upstream}; keepalive 2048; keepalive_requests 1000000000; }}
            ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.3;
            proxy_ssl_trusted_certificate {folder}/ca.pem; proxy_ssl_verify on; proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.3;
            server {{
                listen {address} {door};
                location / {{
                    proxy_pass {scheme}://bedrock; proxy_http_version 1.1; proxy_set_header Connection \"\";
                    proxy_buffering off;
                }}
            }}
        }}"
    );
    let file = world.folder().join(format!("nginx-{}.conf", address.port()));
    fs::write(&file, text).unwrap();
    let mut command = on_proxy_core("nginx");
    command.arg("-c").arg(file);
    command
}

fn floor(wire: Wire, world: &World, address: SocketAddr) -> Command {
    let mut command = on_proxy_core(std::env::current_exe().unwrap());
    command.arg("serve-floor").arg("--listen").arg(address.to_string()).arg("--folder").arg(world.folder());
    if wire == Wire::Tls {
        command.arg("--tls").arg("--upstream").arg(format!("localhost:{}", world.tls_upstream.port()));
    } else {
        command.arg("--upstream").arg(world.plain_upstream.to_string());
    }
    command
}

const MAPPING: &str =
    "[issuer.session]\nname = \"claims.email\"\n[issuer.session.tags]\nteam = \"claims.department\"\n";
const ROLES: &str = r#"
[[role]]
when = "'bedrock-users' in claims.groups"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;

/// A gateway's configuration, with these lines in `[listen]`.
pub(crate) fn gateway_file(wire: Wire, world: &World, address: SocketAddr, listen: &str) -> PathBuf {
    let (addresses, bedrock) = match wire {
        Wire::Plain | Wire::H2 => {
            let addresses = Addresses { http: Some(address), ..Addresses::default() };
            (addresses, format!("http://{}", world.plain_upstream))
        }
        Wire::Tls => {
            let addresses = Addresses { https: Some(address), ..Addresses::default() };
            (addresses, format!("https://localhost:{}", world.tls_upstream.port()))
        }
    };
    let port = address.port();
    let log = format!("file = \"{}/access-{port}.log\"", world.folder().display());
    let setup = Setup {
        addresses,
        listen,
        // The sessions of all users are there before the first window.
        sessions: "max_sts_rate = 1000",
        regions: &[],
        bedrock: Some(&bedrock),
        mapping: MAPPING,
        roles: ROLES,
        log: &log,
        ..Setup::default()
    };
    world.bed.write_as(&format!("gateway-{port}.toml"), &setup)
}
