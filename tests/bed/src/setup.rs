//! A gateway's configuration, written once.

use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bedrock_gateway::gateway::Addresses;

use crate::Bed;

/// A port of loopback that the system chooses.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How a gateway's configuration differs from the ordinary one, which is [`Setup::default`]: four listeners, two
/// regions, and one issuer `acme`, whose users all have one role. Texts are lines of TOML.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// Where it listens; over TLS with the bed's certificate.
    pub addresses: Addresses,
    /// More of `[listen]`, and tables below it.
    pub listen: &'a str,
    /// The lines of `[limits]`.
    pub limits: &'a str,
    /// More of `[aws]`.
    pub aws: &'a str,
    pub region: &'a str,
    /// Further regions.
    pub regions: &'a [&'a str],
    /// `bedrock-runtime` if it is not the stand-in's.
    pub bedrock: Option<&'a str>,
    /// `bedrock-runtime` of the further regions if it is another.
    pub bedrock_elsewhere: Option<&'a str>,
    /// The lines of `[sessions]`.
    pub sessions: &'a str,
    /// More of the issuer.
    pub issuer: &'a str,
    /// The issuer's tables; further issuers may follow.
    pub mapping: &'a str,
    pub roles: &'a str,
    /// The lines of the deny file, if there is one.
    pub deny: Option<&'a str>,
    /// The lines of `[log]`.
    pub log: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        let any = Some(ANY_PORT);
        Self {
            addresses: Addresses { https: any, http: any, probe: any, admin: any },
            listen: "",
            limits: "",
            aws: "",
            region: "us-east-1",
            regions: &["us-west-2"],
            bedrock: None,
            bedrock_elsewhere: None,
            sessions: "",
            issuer: "",
            mapping: "[issuer.session]\nname = \"claims.email\"\n[issuer.session.tags]\nteam = \"claims.team\"\n",
            roles: "[[role]]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n",
            deny: None,
            log: "",
        }
    }
}

impl Setup<'_> {
    /// A configuration to be read, and not to be served: there is no stand-in behind it and no certificate.
    pub fn text(&self) -> String {
        let addresses = Addresses { http: Some(ANY_PORT), ..Addresses::default() };
        Setup { addresses, ..*self }.text_on(None)
    }

    pub(crate) fn text_on(&self, bed: Option<&Bed>) -> String {
        let mut text = self.listeners(bed);
        line(&mut text, format_args!("[limits]\n{}", self.limits));
        line(&mut text, "[aws]");
        line(&mut text, format_args!("region = \"{}\"", self.region));
        line(&mut text, format_args!("regions = {:?}", self.regions));
        line(&mut text, self.aws);
        if let Some(bed) = bed {
            text += &self.endpoints(bed);
        }
        let issuer = bed.map_or_else(|| "https://acme.example".to_owned(), |bed| bed.standin.idp.issuer());
        for part in ["[sessions]", self.sessions, "[[issuer]]", "name = \"acme\""] {
            line(&mut text, part);
        }
        line(&mut text, format_args!("url = \"{issuer}\"\naudiences = [\"bedrock-gateway\"]"));
        for part in [self.issuer, self.mapping, self.roles] {
            line(&mut text, part);
        }
        if let Some(bed) = bed.filter(|_| self.deny.is_some()) {
            line(&mut text, format_args!("[revoke]\nfile = \"{}/deny.toml\"", bed.folder().display()));
        }
        if !self.log.is_empty() {
            line(&mut text, format_args!("[log]\n{}", self.log));
        }
        text
    }

    fn listeners(&self, bed: Option<&Bed>) -> String {
        let Addresses { https, http, probe, admin } = self.addresses;
        let mut text = "[listen]\n".to_owned();
        for (name, address) in [("https", https), ("http", http), ("probe", probe), ("admin", admin)] {
            if let Some(address) = address {
                line(&mut text, format_args!("{name} = \"{address}\""));
            }
        }
        line(&mut text, self.listen);
        if let (Some(_), Some(bed)) = (https, bed) {
            let folder = bed.folder().display();
            let certificate = format_args!("cert = \"{folder}/tls.crt\"\nkey = \"{folder}/tls.key\"");
            line(&mut text, format_args!("[listen.tls]\n{certificate}"));
        }
        text
    }

    /// AWS as the stand-in plays it, in each region.
    fn endpoints(&self, bed: &Bed) -> String {
        let standin = &bed.standin;
        let of_standin = standin.bedrock.url();
        let home = self.bedrock.unwrap_or(&of_standin);
        let elsewhere = self.bedrock_elsewhere.unwrap_or(home);
        let shared = format!(
            "bedrock = \"{}\"\nbedrock_mantle = \"{}\"\nca = \"{}/ca.pem\"",
            standin.control.url(),
            standin.mantle.url(),
            bed.folder().display()
        );
        let mut text = format!("[aws.endpoints]\nsts = \"{}\"\n", standin.sts.url());
        line(&mut text, format_args!("bedrock_runtime = \"{home}\"\n{shared}"));
        for region in self.regions {
            line(&mut text, format_args!("[aws.region_endpoints.{region}]"));
            line(&mut text, format_args!("bedrock_runtime = \"{elsewhere}\"\n{shared}"));
        }
        text
    }
}

fn line(text: &mut String, line: impl Display) {
    writeln!(text, "{line}").unwrap();
}
