//! A stand-in for everything that the gateway talks to, on loopback sockets.
//!
//! - [`idp::Idp`]: an OIDC issuer with discovery, keys that rotate, and a mint for tokens;
//! - [`sts::Sts`]: the query protocol; it checks the gateway's signature and every limit of the
//!   service model, and issues sessions;
//! - [`bedrock::Bedrock`]: runtime, control plane and mantle; it recomputes every signature and answers in the
//!   real formats;
//! - [`iam`]: policy documents for roles, accounts and VPC endpoints, by which STS and Bedrock decide;
//! - [`bill::Bill`]: the rows that the Cost and Usage Report would have;
//! - [`billing::Billing`]: Data Exports and Cost Explorer.
//!
//! The stand-in is strict where AWS is strict, and where AWS's behaviour is not known. While it runs, a test can
//! inject many faults into each service, stop a service, and restart it on the same port.
//!
//! ```no_run
//! # #[tokio::main] async fn main() {
//! use bedrock_standin::{Options, Standin, idp::Claims};
//!
//! let aws = Standin::start(Options::default());
//! let token = aws.idp.mint(Claims::of("alice").claim("email", "alice@acme.org"));
//! // … point a gateway at aws.idp.issuer(), aws.sts.url(), aws.bedrock.url(), and call it …
//! assert_eq!(aws.sts.calls()[0].session_name, "alice@acme.org");
//! # drop(token); }
//! ```

pub mod bedrock;
pub mod bill;
pub mod billing;
pub mod clock;
pub mod credentials;
pub mod faults;
pub mod frames;
pub mod iam;
pub mod idp;
pub mod server;
pub mod signature;
pub mod sts;
pub mod tls;

use std::sync::Arc;

use bedrock::Bedrock;
use bill::{Bill, Service};
use billing::Billing;
use credentials::Store;
use idp::Idp;
use sts::Sts;
use tls::Authority;

/// The settings of a new [`Standin`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The region of STS, and the first region of Bedrock.
    pub region: String,
    /// The other regions that Bedrock serves, all on the same socket.
    pub further_regions: Vec<String>,
    /// TLS for the issuer, with a certificate from the CA of [`Standin::ca_pem`]; otherwise plain HTTP.
    pub idp_tls: bool,
    pub sts_tls: bool,
    /// TLS for all three Bedrock services.
    pub bedrock_tls: bool,
}

impl Default for Options {
    /// `us-east-1` and `us-west-2`, no TLS.
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            further_regions: vec!["us-west-2".to_owned()],
            idp_tls: false,
            sts_tls: false,
            bedrock_tls: false,
        }
    }
}

/// An identity provider, STS, Bedrock and the bill. Dropping it stops them all.
#[derive(Debug)]
pub struct Standin {
    pub idp: Idp,
    pub sts: Sts,
    /// `bedrock-runtime`
    pub bedrock: Bedrock,
    /// `bedrock`, which lists models and inference profiles.
    pub control: Bedrock,
    /// `bedrock-mantle`
    pub mantle: Bedrock,
    pub bill: Arc<Bill>,
    /// Data Exports and Cost Explorer.
    pub billing: Billing,
    /// The gateway's own keys, and every session that STS has issued.
    pub credentials: Arc<Store>,
    authority: Authority,
}

impl Standin {
    /// Must be called within a tokio runtime.
    pub fn start(options: Options) -> Self {
        let authority = Authority::new();
        let tls = |wanted: bool| wanted.then(|| authority.server_config(&["h2", "http/1.1"]));
        let credentials = Store::new();
        let bill = Bill::new();
        let mut regions = vec![options.region.clone()];
        regions.extend(options.further_regions);
        let bedrock = |service| {
            let options = bedrock::Options { tls: tls(options.bedrock_tls), regions: regions.clone() };
            Bedrock::start_as(service, Arc::clone(&credentials), Arc::clone(&bill), options)
        };
        Self {
            idp: Idp::start(tls(options.idp_tls)),
            sts: Sts::start(Arc::clone(&credentials), &options.region, tls(options.sts_tls)),
            bedrock: bedrock(Service::Runtime),
            control: bedrock(Service::Control),
            mantle: bedrock(Service::Mantle),
            bill,
            billing: Billing::start(Arc::clone(&credentials)),
            credentials,
            authority,
        }
    }

    /// The CA of all its certificates, as PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    /// A server certificate for DNS names and IP addresses, and its key, both as PEM. The gateway uses it.
    pub fn server_certificate(&self, names: &[&str]) -> (String, String) {
        self.authority.server_certificate(names)
    }
}
